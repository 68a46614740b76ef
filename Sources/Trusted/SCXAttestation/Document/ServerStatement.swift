import Foundation

/// What an attested server says of itself: what runs there, and where it sends encoded rows.
///
/// Evidence binds the exact bytes. It proves that the measured program said this; that it is true rests on that program.
package struct ServerStatement: Codable, Equatable, Sendable {
    /// The program and its version.
    package var software: String
    /// The revision of the source from which it was built, as the image's maker gave it.
    package var revision: String
    /// The name under which the model is served.
    package var model: String
    /// SHA-256 of the model's files, in base 16; see ``AttestationDocument``.
    package var modelDigest: String
    /// The profiles that answer.
    package var profiles: [String]
    /// The workers' addresses; none where the server computes in a process of its own.
    package var workers: [String]
    /// The addresses of peers that prepare pads.
    package var peers: [String]

    package init(
        software: String, revision: String, model: String, modelDigest: String, profiles: [String],
        workers: [String], peers: [String]
    ) {
        self.software = software
        self.revision = revision
        self.model = model
        self.modelDigest = modelDigest
        self.profiles = profiles
        self.workers = workers
        self.peers = peers
    }

    /// The largest statement that is read, in bytes.
    package static let limit = 64 * 1024

    /// Reads a statement.
    ///
    /// - Throws: ``Check/documentForm`` for anything but an object with these fields, each once.
    package init(_ json: [UInt8]) throws(Failures) {
        guard json.count <= Self.limit else {
            throw Failures(.documentForm, "the statement has more than \(Self.limit) bytes")
        }
        do {
            try PolicySyntax.check(json)
            self = try JSONDecoder().decode(Self.self, from: Data(json))
        } catch {
            throw Failures(.documentForm, "the statement is not an object with the fields of one")
        }
        let texts = [software, revision, model, modelDigest] + profiles + workers + peers
        guard texts.allSatisfy({ $0.unicodeScalars.count <= 1024 && $0.unicodeScalars.allSatisfy(\.isShown) })
        else {
            throw Failures(.documentForm, "the statement holds long texts, or characters that are not seen")
        }
        guard !profiles.isEmpty else { throw Failures(.documentForm, "the statement names no profile") }
    }

    /// The statement as an object in JSON; the same each time.
    package var json: [UInt8] {
        let encoder = JSONEncoder()
        encoder.outputFormatting = [.sortedKeys, .withoutEscapingSlashes]
        guard let data = try? encoder.encode(self) else {
            preconditionFailure("ServerStatement: not encodable")
        }
        return Array(data)
    }
}

extension Unicode.Scalar {
    /// Whether it is seen and moves no cursor.
    fileprivate var isShown: Bool {
        switch properties.generalCategory {
        case .control, .format, .lineSeparator, .paragraphSeparator, .surrogate, .unassigned: false
        default: true
        }
    }
}
