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

let nioCore = Target.Dependency.product(name: "NIOCore", package: "swift-nio")
let nioPosix = Target.Dependency.product(name: "NIOPosix", package: "swift-nio")
let nioSSL = Target.Dependency.product(name: "NIOSSL", package: "swift-nio-ssl")
let nioHTTP1 = Target.Dependency.product(name: "NIOHTTP1", package: "swift-nio")
let nioTLS = Target.Dependency.product(name: "NIOTLS", package: "swift-nio")
let crypto = Target.Dependency.product(name: "Crypto", package: "swift-crypto")
let cryptoExtras = Target.Dependency.product(name: "CryptoExtras", package: "swift-crypto")
let swiftASN1 = Target.Dependency.product(name: "SwiftASN1", package: "swift-asn1")
let hummingbird = Target.Dependency.product(name: "Hummingbird", package: "hummingbird")
let hummingbirdCore = Target.Dependency.product(name: "HummingbirdCore", package: "hummingbird")
let hummingbirdTLS = Target.Dependency.product(name: "HummingbirdTLS", package: "hummingbird")
let configuration = Target.Dependency.product(name: "Configuration", package: "swift-configuration")
let logging = Target.Dependency.product(name: "Logging", package: "swift-log")
let systemPackage = Target.Dependency.product(name: "SystemPackage", package: "swift-system")
let tracing = Target.Dependency.product(name: "Tracing", package: "swift-distributed-tracing")
let httpTypes = Target.Dependency.product(name: "HTTPTypes", package: "swift-http-types")
let serviceLifecycle = Target.Dependency.product(name: "ServiceLifecycle", package: "swift-service-lifecycle")
let x509 = Target.Dependency.product(name: "X509", package: "swift-certificates")

let package = Package(
    name: "scx",
    platforms: [.macOS(.v15)],
    products: [
        .executable(name: "scx", targets: ["scx"]),
        .executable(name: "scx-worker", targets: ["scx-worker"]),
        .executable(name: "scx-lab", targets: ["scx-lab"]),
    ],
    dependencies: [
        .package(url: "https://github.com/apple/swift-argument-parser", from: "1.8.0"),
        .package(url: "https://github.com/apple/swift-asn1", from: "1.7.0"),
        .package(url: "https://github.com/apple/swift-certificates", from: "1.21.0"),
        .package(url: "https://github.com/apple/swift-configuration", from: "1.4.0", traits: ["YAML"]),
        .package(url: "https://github.com/apple/swift-crypto", from: "4.5.0"),
        .package(url: "https://github.com/apple/swift-distributed-tracing", from: "1.7.0"),
        .package(url: "https://github.com/apple/swift-http-types", from: "1.8.0"),
        .package(url: "https://github.com/apple/swift-log", from: "1.16.0"),
        .package(url: "https://github.com/apple/swift-nio", from: "2.101.0"),
        .package(url: "https://github.com/apple/swift-nio-ssl", from: "2.37.0"),
        .package(url: "https://github.com/apple/swift-system", from: "1.8.0"),
        .package(url: "https://github.com/hummingbird-project/hummingbird", from: "2.28.0"),
        .package(url: "https://github.com/swift-server/swift-service-lifecycle", from: "2.13.0"),
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
            name: "SCXLink", dependencies: ["CSCXSystem", "SCXInference", crypto, cryptoExtras],
            path: "Sources/Shared/SCXLink", swiftSettings: settings),
        .target(
            name: "SCXLinkTLS", dependencies: ["SCXLink", crypto, nioCore, nioPosix, nioSSL, nioTLS],
            path: "Sources/Shared/SCXLinkTLS", swiftSettings: settings),

        // Trusted: sees text and keys. Nothing here is `public`, all of it is `package`.
        .target(
            name: "SCXText", dependencies: ["SCXInference"],
            path: "Sources/Trusted/SCXText", swiftSettings: settings),
        .target(
            name: "SCXEncoding", dependencies: ["SCXInference", "SCXLink", crypto],
            path: "Sources/Trusted/SCXEncoding", swiftSettings: settings),
        .target(
            name: "SCXProfiles", dependencies: ["SCXEncoding", "SCXInference", "SCXLink"],
            path: "Sources/Trusted/SCXProfiles", swiftSettings: settings),
        .target(
            name: "SCXEngine",
            dependencies: ["SCXText", "SCXProfiles", "SCXEncoding", "SCXInference", "SCXLink"],
            path: "Sources/Trusted/SCXEngine", swiftSettings: settings),
        .target(
            name: "SCXCertificates", dependencies: [crypto, swiftASN1, x509],
            path: "Sources/Trusted/SCXCertificates", swiftSettings: settings),
        .target(
            name: "SCXGateway",
            dependencies: [
                "SCXText", "SCXProfiles", "SCXEngine", "SCXEncoding", "SCXInference", "SCXLink", "SCXAttacks",
                crypto, hummingbird,
                hummingbirdCore, hummingbirdTLS, httpTypes, logging, nioCore, nioHTTP1, nioSSL, nioTLS,
                serviceLifecycle,
                tracing, "CSCXSystem",
            ],
            path: "Sources/Trusted/SCXGateway", resources: [.embedInCode("Page/Files")],
            swiftSettings: settings),
        // Options that the trusted side's program and the laboratory have in common.
        .target(
            name: "SCXOptions",
            dependencies: ["SCXText", "SCXProfiles", "SCXEngine", "SCXInference", argumentParser],
            path: "Sources/Trusted/SCXOptions", swiftSettings: settings),
        .executableTarget(
            name: "scx",
            dependencies: [
                "SCXGateway", "SCXText", "SCXProfiles", "SCXEngine", "SCXEncoding", "SCXInference", "SCXLink",
                "SCXLinkTLS", "SCXOptions", "SCXWorker",
                "SCXCertificates", "CSCXSystem", argumentParser, configuration, logging, systemPackage,
                tracing,
            ],
            path: "Sources/Trusted/scx", swiftSettings: settings),

        // Untrusted: `packageAccess: false` hides every `package` declaration from it.
        .target(
            name: "SCXWorker", dependencies: ["SCXInference", "SCXLink"],
            path: "Sources/Untrusted/SCXWorker", packageAccess: false, swiftSettings: settings),

        .target(
            name: "SCXAttacks", dependencies: ["SCXInference", "SCXLink"],
            path: "Sources/Untrusted/SCXAttacks", packageAccess: false, swiftSettings: settings),

        .executableTarget(
            name: "scx-worker",
            dependencies: ["SCXWorker", "SCXInference", "SCXLink", "SCXLinkTLS", argumentParser],
            path: "Sources/Untrusted/scx-worker", packageAccess: false, swiftSettings: settings),

        // The laboratory: measures both sides, ships in no product of either.
        .executableTarget(
            name: "scx-lab",
            dependencies: [
                "SCXAttacks", "SCXText", "SCXProfiles", "SCXEngine", "SCXEncoding", "SCXInference", "SCXLink",
                "SCXOptions", "SCXWorker", argumentParser,
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
            name: "SCXLinkTLSTests",
            dependencies: [
                "SCXLinkTLS", "SCXLink", "SCXCertificates", "SCXProfiles", crypto, nioCore, nioPosix, nioSSL,
                swiftASN1, x509,
            ],
            swiftSettings: settings),
        .testTarget(
            name: "SCXAttacksTests",
            dependencies: [
                "scx-lab", "SCXAttacks", "SCXProfiles", "SCXEngine", "SCXEncoding", "SCXInference", "SCXLink",
                "SCXWorker",
            ],
            swiftSettings: settings),
        .testTarget(
            name: "SCXEncodingTests", dependencies: ["SCXEncoding", "SCXInference", "SCXLink"],
            swiftSettings: settings),
        .testTarget(
            name: "SCXGatewayTests",
            dependencies: [
                "SCXGateway", "SCXText", "SCXProfiles", "SCXEngine", "SCXEncoding", "SCXInference", "SCXLink",
                "SCXWorker", "SCXCertificates", crypto, logging, tracing,
            ],
            swiftSettings: settings),
        .testTarget(
            name: "SCXTextTests", dependencies: ["SCXText", "SCXEngine", "SCXInference", "SCXLink"],
            swiftSettings: settings),
        .testTarget(
            name: "SCXEngineTests",
            dependencies: [
                "SCXText", "SCXProfiles", "SCXEngine", "SCXEncoding", "SCXInference", "SCXLink", "SCXLinkTLS",
                "SCXWorker",
            ],
            swiftSettings: settings),
    ],
    swiftLanguageModes: [.v6]
)
