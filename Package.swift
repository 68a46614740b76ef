// swift-tools-version: 6.3
import PackageDescription

/// Settings of every Swift target: Swift 6 language mode, every unsafe use marked, no warnings left.
let settings: [SwiftSetting] = [
    .strictMemorySafety(),
    .treatAllWarnings(as: .error),
    .enableUpcomingFeature("ExistentialAny"),
    .enableUpcomingFeature("InternalImportsByDefault"),
    .enableUpcomingFeature("MemberImportVisibility"),
    .enableUpcomingFeature("NonisolatedNonsendingByDefault"),
    .enableExperimentalFeature("Lifetimes"),  // to hand out spans; the only experimental feature
]

let argumentParser = Target.Dependency.product(name: "ArgumentParser", package: "swift-argument-parser")

let package = Package(
    name: "scx",
    platforms: [.macOS(.v15)],
    products: [
        .executable(name: "scx", targets: ["scx"]),
        .executable(name: "scx-worker", targets: ["scx-worker"]),
        .executable(name: "scx-lab", targets: ["scx-lab"]),
    ],
    dependencies: [
        .package(url: "https://github.com/apple/swift-argument-parser", from: "1.8.0")
    ],
    targets: [
        // Shared: code that both sides run. Everything it shows is `public`.
        .target(
            name: "CSCXKernels", path: "Sources/Shared/CSCXKernels",
            // Debug tests run the kernels too; at -O0 they would take minutes.
            cSettings: [.unsafeFlags(["-O2"], .when(configuration: .debug))]),
        .target(
            name: "SCXInference", dependencies: ["CSCXKernels"],
            path: "Sources/Shared/SCXInference", swiftSettings: settings),
        .target(name: "CSCXSystem", path: "Sources/Shared/CSCXSystem"),
        .target(
            name: "SCXLink", dependencies: ["CSCXSystem", "SCXInference"],
            path: "Sources/Shared/SCXLink", swiftSettings: settings),

        // Trusted: sees text and keys. Nothing here is `public`, all of it is `package`.
        .target(
            name: "SCXEncoding", dependencies: ["SCXInference", "SCXLink"],
            path: "Sources/Trusted/SCXEncoding", swiftSettings: settings),
        .target(
            name: "SCXTrusted", dependencies: ["SCXEncoding", "SCXInference", "SCXLink"],
            path: "Sources/Trusted/SCXTrusted", swiftSettings: settings),
        .executableTarget(
            name: "scx",
            dependencies: [
                "SCXTrusted", "SCXEncoding", "SCXInference", "SCXLink", "SCXWorker", argumentParser,
            ],
            path: "Sources/Trusted/scx", swiftSettings: settings),

        // Untrusted: `packageAccess: false` hides every `package` declaration from it.
        .target(
            name: "SCXWorker", dependencies: ["SCXInference", "SCXLink"],
            path: "Sources/Untrusted/SCXWorker", packageAccess: false, swiftSettings: settings),

        .executableTarget(
            name: "scx-worker", dependencies: ["SCXWorker", "SCXInference", "SCXLink", argumentParser],
            path: "Sources/Untrusted/scx-worker", packageAccess: false, swiftSettings: settings),

        // The laboratory: measures both sides, ships in no product of either.
        .executableTarget(
            name: "scx-lab",
            dependencies: [
                "SCXTrusted", "SCXEncoding", "SCXInference", "SCXLink", "SCXWorker", argumentParser,
            ],
            path: "Sources/Lab/scx-lab", swiftSettings: settings),

        .testTarget(
            name: "SCXInferenceTests", dependencies: ["SCXInference"], swiftSettings: settings),
        .testTarget(
            name: "SCXWorkerTests", dependencies: ["SCXWorker", "SCXInference", "SCXLink"],
            swiftSettings: settings),
        .testTarget(
            name: "SCXLinkTests", dependencies: ["SCXLink", "CSCXSystem", "SCXInference", "SCXWorker"],
            swiftSettings: settings),
        .testTarget(
            name: "SCXTrustedTests",
            dependencies: ["SCXTrusted", "SCXEncoding", "SCXInference", "SCXLink", "SCXWorker"],
            swiftSettings: settings),
    ],
    swiftLanguageModes: [.v6]
)
