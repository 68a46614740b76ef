// swift-tools-version: 6.3
import PackageDescription

// A program of somebody else. Outside of this repository, the dependency is its address and a version:
//     .package(url: "https://…/swift-scx", from: "…", traits: [])
let package = Package(
    name: "ask",
    platforms: [.macOS(.v15)],
    dependencies: [
        // Without the trait `Network`, which only workers on other machines need, much less is built.
        .package(name: "scx", path: "../..", traits: [])
    ],
    targets: [
        .executableTarget(name: "ask", dependencies: [.product(name: "SCX", package: "scx")])
    ]
)
