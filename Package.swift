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

/// A product of another package that every build needs.
func product(_ name: String, _ package: String) -> Target.Dependency {
    .product(name: name, package: package)
}

/// A product of another package that only trait `Network` needs.
func networkProduct(_ name: String, _ package: String) -> Target.Dependency {
    .product(name: name, package: package, condition: .when(traits: ["Network"]))
}

/// A target of this package that only trait `Network` needs.
func networkTarget(_ name: String) -> Target.Dependency {
    .target(name: name, condition: .when(traits: ["Network"]))
}

let argumentParser = product("ArgumentParser", "swift-argument-parser")
let crypto = product("Crypto", "swift-crypto")
let cryptoExtras = product("CryptoExtras", "swift-crypto")

let nioCore = networkProduct("NIOCore", "swift-nio")
let nioPosix = networkProduct("NIOPosix", "swift-nio")
let nioSSL = networkProduct("NIOSSL", "swift-nio-ssl")
let nioHTTP1 = networkProduct("NIOHTTP1", "swift-nio")
let nioTLS = networkProduct("NIOTLS", "swift-nio")
let swiftASN1 = networkProduct("SwiftASN1", "swift-asn1")
let hummingbird = networkProduct("Hummingbird", "hummingbird")
let hummingbirdCore = networkProduct("HummingbirdCore", "hummingbird")
let hummingbirdTLS = networkProduct("HummingbirdTLS", "hummingbird")
let configuration = networkProduct("Configuration", "swift-configuration")
let logging = networkProduct("Logging", "swift-log")
let systemPackage = networkProduct("SystemPackage", "swift-system")
let tracing = networkProduct("Tracing", "swift-distributed-tracing")
let httpTypes = networkProduct("HTTPTypes", "swift-http-types")
let serviceLifecycle = networkProduct("ServiceLifecycle", "swift-service-lifecycle")
let x509 = networkProduct("X509", "swift-certificates")

let package = Package(
    name: "scx",
    platforms: [.macOS(.v15), .iOS(.v18)],
    products: [
        .library(name: "SCX", targets: ["SCX"]),
        .executable(name: "scx", targets: ["scx-command"]),
        .executable(name: "scx-worker", targets: ["scx-worker"]),
        .executable(name: "scx-lab", targets: ["scx-lab"]),
        .executable(name: "scx-init", targets: ["scx-init"]),
    ],
    traits: [
        .default(enabledTraits: ["Network"]),
        .trait(
            name: "Network",
            description: """
                The HTTP endpoint (scx serve), and workers on other machines over TLS (tcp:// addresses, scx keys). \
                Without it, 'swift build --product scx' takes less than half as long.
                """),
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

        // What the commands of both sides say of wrong options.
        .target(
            name: "SCXArguments", dependencies: [argumentParser],
            path: "Sources/Shared/SCXArguments", swiftSettings: settings),

        // Trusted: sees text and keys. Only SCX declares anything `public`; all else is `package`.
        .target(
            name: "SCXText", dependencies: ["SCXInference"],
            path: "Sources/Trusted/SCXText", swiftSettings: settings),
        // Pictures: decoded, and made what a model's tower takes.
        .target(
            name: "SCXImages", dependencies: ["SCXInference"],
            path: "Sources/Trusted/SCXImages", swiftSettings: settings),
        .target(
            name: "SCXEncoding", dependencies: ["CSCXKernels", "SCXInference", "SCXLink", crypto],
            path: "Sources/Trusted/SCXEncoding", swiftSettings: settings),
        .target(
            name: "SCXProfiles", dependencies: ["SCXEncoding", "SCXInference", "SCXLink"],
            path: "Sources/Trusted/SCXProfiles", swiftSettings: settings),
        .target(
            name: "SCXEngine",
            dependencies: ["SCXText", "SCXImages", "SCXProfiles", "SCXEncoding", "SCXInference", "SCXLink"],
            path: "Sources/Trusted/SCXEngine", swiftSettings: settings),
        .target(
            name: "SCXCertificates", dependencies: [crypto, swiftASN1, x509],
            path: "Sources/Trusted/SCXCertificates", swiftSettings: settings),
        // Evidence of machines with encrypted memory: decided on files alone.
        .target(
            name: "SCXAttestation", dependencies: [crypto, cryptoExtras, swiftASN1],
            path: "Sources/Trusted/SCXAttestation", swiftSettings: settings),
        .target(
            name: "SCXGateway",
            dependencies: [
                "SCXText", "SCXImages", "SCXProfiles", "SCXEngine", "SCXEncoding", "SCXInference", "SCXLink",
                "SCXAttacks", "SCXAttestation",
                crypto, hummingbird,
                hummingbirdCore, hummingbirdTLS, httpTypes, logging, nioCore, nioHTTP1, nioSSL, nioTLS,
                serviceLifecycle,
                tracing, "CSCXSystem",
            ],
            path: "Sources/Trusted/SCXGateway", resources: [.embedInCode("Page/Files")],
            swiftSettings: settings),
        // The user's end of attestation: connections that are verified before anything is sent, and an endpoint over them.
        .target(
            name: "SCXProxy",
            dependencies: [
                "SCXAttestation", "SCXGateway", "SCXInference", crypto, hummingbird, hummingbirdCore,
                httpTypes,
                logging, nioCore, nioHTTP1, nioPosix, nioSSL, nioTLS,
            ],
            path: "Sources/Trusted/SCXProxy", swiftSettings: settings),
        // Erases what is freed, in every program that contains it.
        .target(name: "CSCXErase", path: "Sources/Trusted/CSCXErase"),
        // The library for programs of others, whose `package` part opens models for `scx` too. Its folder has another name
        // and the command's target one that differs in more than case: some file systems take SCX and scx for one.
        .target(
            name: "SCX",
            dependencies: [
                "SCXText", "SCXImages", "SCXProfiles", "SCXEngine", "SCXEncoding", "SCXInference", "SCXLink",
                "SCXWorker", networkTarget("SCXLinkTLS"),
            ],
            path: "Sources/Trusted/SCXLibrary", swiftSettings: settings),
        // Options that the trusted side's program and the laboratory have in common.
        .target(
            name: "SCXOptions",
            dependencies: ["SCXText", "SCXProfiles", "SCXEngine", "SCXInference", argumentParser],
            path: "Sources/Trusted/SCXOptions", swiftSettings: settings),
        .executableTarget(
            name: "scx-command",
            dependencies: [
                "SCX", "SCXText", "SCXImages", "SCXProfiles", "SCXEngine", "SCXEncoding", "SCXInference",
                "SCXLink", "SCXOptions",
                "scx-worker",  // built and linked beside it, because it starts one; nothing imports it
                networkTarget("SCXGateway"), networkTarget("SCXLinkTLS"), networkTarget("SCXCertificates"),
                networkTarget("SCXAttestation"), networkTarget("SCXProxy"),
                "CSCXErase", "CSCXSystem", "SCXArguments", argumentParser, configuration, logging,
                systemPackage,
                tracing,
            ],
            path: "Sources/Trusted/scx", swiftSettings: settings),
        // The first process of an image for virtual machines, which starts `scx serve` and nothing else.
        .target(name: "CSCXBoot", path: "Sources/Trusted/CSCXBoot"),
        .executableTarget(
            name: "scx-init", dependencies: ["CSCXBoot"], path: "Sources/Trusted/scx-init",
            swiftSettings: settings),

        // Untrusted: `packageAccess: false` hides every `package` declaration from it.
        .target(
            name: "SCXWorker", dependencies: ["SCXInference", "SCXLink"],
            path: "Sources/Untrusted/SCXWorker", packageAccess: false, swiftSettings: settings),

        .target(
            name: "SCXAttacks", dependencies: ["SCXInference", "SCXLink"],
            path: "Sources/Untrusted/SCXAttacks", packageAccess: false, swiftSettings: settings),

        .executableTarget(
            name: "scx-worker",
            dependencies: [
                "SCXWorker", "SCXInference", "SCXLink", networkTarget("SCXLinkTLS"), "SCXArguments",
                argumentParser,
            ],
            path: "Sources/Untrusted/scx-worker", packageAccess: false, swiftSettings: settings),

        // The laboratory: measures both sides, ships in no product of either.
        .target(name: "CSCXCoverage", path: "Sources/Lab/CSCXCoverage"),
        .executableTarget(
            name: "scx-lab",
            dependencies: [
                "SCXAttacks", "SCXText", "SCXProfiles", "SCXEngine", "SCXEncoding", "SCXInference", "SCXLink",
                "SCXOptions", "SCXWorker", "CSCXCoverage", "CSCXSystem", "SCXArguments",
                networkTarget("SCXLinkTLS"),
                argumentParser,
                networkTarget("SCXAttestation"), networkTarget("SCXCertificates"),
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
            name: "SCXAttestationTests",
            dependencies: [
                "SCXAttestation", "SCXProxy", "SCXGateway", "SCXCertificates", "SCXInference", crypto,
                cryptoExtras,
                hummingbirdCore,
                httpTypes, logging, nioCore, nioHTTP1, nioPosix, nioSSL,
            ],
            exclude: ["Fixtures"],
            swiftSettings: settings),
        .testTarget(name: "SCXInitTests", dependencies: ["scx-init"], swiftSettings: settings),
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
                "SCXGateway", "SCXText", "SCXImages", "SCXProfiles", "SCXEngine", "SCXEncoding",
                "SCXInference", "SCXLink", "SCXWorker", "SCXCertificates", crypto, logging, tracing,
            ],
            swiftSettings: settings),
        .testTarget(
            name: "SCXTests",
            dependencies: [
                "SCX", "scx-worker",  // whose process the tests start; nothing imports it
            ],
            swiftSettings: settings),
        .testTarget(
            name: "SCXTextTests", dependencies: ["SCXText", "SCXEngine", "SCXInference", "SCXLink"],
            swiftSettings: settings),
        .testTarget(
            name: "SCXImagesTests", dependencies: ["SCXImages", "SCXInference"], swiftSettings: settings),
        .testTarget(
            name: "SCXEngineTests",
            dependencies: [
                "SCXText", "SCXImages", "SCXProfiles", "SCXEngine", "SCXEncoding", "SCXInference", "SCXLink",
                "SCXLinkTLS",
                "SCXWorker",
            ],
            swiftSettings: settings),
    ],
    swiftLanguageModes: [.v6]
)
