import Foundation

/// What evidence is verified with: certificates, revocation lists, and what Intel publishes of its platforms.
///
/// All of it comes from files or from the server that is verified; everything is signed, and nothing is fetched.
package struct Collateral: Sendable {
    package private(set) var certificates: [Certificate] = []
    package private(set) var lists: [RevocationList] = []
    private(set) var tcbInfos: [SignedDocument<TCBInfo>] = []
    private(set) var identities: [SignedDocument<EnclaveIdentity>] = []

    /// The largest file that is read, in bytes.
    package static let fileLimit = 1024 * 1024
    /// The most files, and the most certificates, lists and documents together.
    package static let countLimit = 256

    /// A file, or a part of a server's document.
    package struct File: Sendable {
        let name: String
        package let bytes: [UInt8]

        /// - Parameters:
        ///   - name: What messages call it; who carries files may have named them, so that what moves a cursor is taken out.
        ///   - bytes: What it holds.
        package init(name: String, bytes: [UInt8]) {
            let shown = name.unicodeScalars.map { scalar -> Unicode.Scalar in
                switch scalar.properties.generalCategory {
                case .control, .format, .lineSeparator, .paragraphSeparator: "?"
                default: scalar
                }
            }
            self.name = String(String.UnicodeScalarView(shown))
            self.bytes = bytes
        }
    }

    /// Reads files: PEM with certificates and lists, DER with one of them, or JSON as Intel's service gives it.
    ///
    /// - Throws: A failure for each file that cannot be read.
    package init(_ files: [File] = []) throws(Failures) {
        var failures = FailureList()
        for file in files {
            do throws(Failures) { try add(file) } catch {
                for failure in error.all { failures.add(failure.check, "\(file.name): \(failure.detail)") }
            }
            guard certificates.count + lists.count + tcbInfos.count + identities.count <= Self.countLimit
            else {
                throw Failures(
                    .collateralForm, "there are more than \(Self.countLimit) certificates and documents")
            }
        }
        try failures.end()
    }

    /// The files of a directory that are taken, by the endings of their names.
    ///
    /// - Returns: Their paths in order; nil where the directory cannot be read.
    package static func paths(in directory: String) -> [String]? {
        let endings = ["pem", "der", "crt", "cer", "crl", "json"]
        return try? FileManager.default.contentsOfDirectory(atPath: directory)
            .filter { endings.contains(URL(filePath: $0).pathExtension.lowercased()) }.sorted()
            .map { "\(directory)/\($0)" }
    }

    private mutating func add(_ file: File) throws(Failures) {
        guard file.bytes.count <= Self.fileLimit else {
            throw Failures(.collateralForm, "it has more than \(Self.fileLimit) bytes")
        }
        switch file.bytes.first {
        case 0x30:
            do throws(Failures) { certificates.append(try Certificate(file.bytes)) } catch {
                guard let list = try? RevocationList(file.bytes) else { throw error }
                lists.append(list)
            }
        case UInt8(ascii: "{"): try addDocument(file.bytes)
        default: try addPEM(file.bytes)
        }
    }

    private mutating func addPEM(_ bytes: [UInt8]) throws(Failures) {
        let blocks: [PEM.Block]
        do { blocks = try PEM.blocks(bytes) } catch {
            throw Failures(.certificateForm, "it cannot be read: \(error.reason)")
        }
        for block in blocks {
            switch block.label {
            case "CERTIFICATE": certificates.append(try Certificate(block.bytes))
            case "X509 CRL": lists.append(try RevocationList(block.bytes))
            default: throw Failures(.certificateForm, "it holds something else than certificates and lists")
            }
        }
    }

    private mutating func addDocument(_ bytes: [UInt8]) throws(Failures) {
        do throws(FormError) {
            let json = try SignedJSON(bytes)
            switch json.name {
            case "tcbInfo": tcbInfos.append(try SignedDocument(json))
            case "enclaveIdentity": identities.append(try SignedDocument(json))
            default: throw FormError("it is neither a TCB info nor an identity of an enclave")
            }
        } catch {
            throw Failures(.collateralForm, "it cannot be read: \(error.reason)")
        }
    }

    /// Whether Intel's word of any platform or enclave is there.
    var hasDocuments: Bool { !tcbInfos.isEmpty || !identities.isEmpty }

    /// The same with more certificates, such as those within a quote.
    func adding(_ more: [Certificate]) -> Collateral {
        var all = self
        all.certificates += more.filter { !certificates.contains($0) }
        return all
    }
}
