import Crypto
import Foundation

/// A guest's end: a key of this process, evidence for it, and the secrets that come back.
///
/// It is used once, so that a second answer to the same question is of no use.
package struct SecretsReceiver: ~Copyable {
    private let key = Curve25519.KeyAgreement.PrivateKey()
    private let nonce: [UInt8]

    /// - Parameter nonce: The releaser's question, of 32 bytes.
    package init(nonce: [UInt8]) { self.nonce = nonce }

    /// What is sent to the releaser: evidence for this receiver's key, in answer to the question.
    ///
    /// - Returns: The request.
    /// - Throws: ``EvidenceError``
    package func request(
        statement: ServerStatement, source: some EvidenceSource, collateral: [[UInt8]] = []
    ) throws(EvidenceError) -> SecretsRequest {
        let publicKey = Array(key.publicKey.rawRepresentation)
        let identity = AttestedIdentity(
            .secrets, key: publicKey, statement: statement, source: source, collateral: collateral)
        return SecretsRequest(key: publicKey, document: try identity.document(nonce: nonce))
    }

    /// Opens what the releaser answered.
    ///
    /// - Throws: ``SecretsError``
    package consuming func open(_ answer: [UInt8]) throws(SecretsError) -> Secrets {
        guard answer.count <= 2 * SealedSecrets.limit,
            let sealed = try? JSONDecoder().decode(SealedSecrets.self, from: Data(answer))
        else { throw SecretsError("the answer holds no secrets") }
        let values: [String: Data]
        do {
            var recipient = try HPKE.Recipient(
                privateKey: key, ciphersuite: SealedSecrets.suite, info: SealedSecrets.info,
                encapsulatedKey: sealed.encapsulatedKey)
            let plain = try recipient.open(sealed.ciphertext, authenticating: Data(nonce))
            values = try JSONDecoder().decode([String: Data].self, from: plain)
        } catch {
            throw SecretsError("the answer is not encrypted to this process's key for this question")
        }
        return try Secrets(values.mapValues { Array($0) })
    }
}

/// What a guest sends to ask for secrets.
package struct SecretsRequest: Sendable {
    /// A public key on Curve25519, of 32 bytes.
    let key: [UInt8]
    let document: AttestationDocument

    private struct Form: Codable {
        var key: String
        /// An ``AttestationDocument`` as text in JSON.
        var document: String
    }

    init(key: [UInt8], document: AttestationDocument) {
        self.key = key
        self.document = document
    }

    /// Reads the fields of a request.
    ///
    /// - Parameters:
    ///   - key: The public key in base 64.
    ///   - document: The document as text in JSON.
    /// - Throws: ``Check/documentForm``
    package init(key: String, document: String) throws(Failures) {
        guard let bytes = Data(base64Encoded: key), bytes.count == 32 else {
            throw Failures(.documentForm, "the request's 'key' is not 32 bytes in base 64")
        }
        self.key = Array(bytes)
        self.document = try AttestationDocument(Array(document.utf8))
    }

    /// Reads a request in JSON.
    ///
    /// - Throws: ``Check/documentForm``
    package init(_ json: [UInt8]) throws(Failures) {
        guard json.count <= 2 * AttestationDocument.limit,
            let form = try? JSONDecoder().decode(Form.self, from: Data(json))
        else { throw Failures(.documentForm, "the body is not a request for secrets") }
        try self.init(key: form.key, document: form.document)
    }

    /// The request as an object with the strings `key` and `document`.
    package var json: [UInt8] {
        let form = Form(
            key: Data(key).base64EncodedString(), document: String(decoding: document.json, as: UTF8.self))
        guard let data = try? JSONEncoder().encode(form) else {
            preconditionFailure("SecretsRequest: not encodable")
        }
        return Array(data)
    }
}
