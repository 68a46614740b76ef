import Crypto
import Foundation
import NIOSSL

extension GatewayServer {
    /// Where the server's certificate chain and private key come from.
    package enum TLSKey: Sendable {
        /// Names of PEM files.
        case files(certificate: String, key: String)
        /// PEM, of a key that was made in this process and is in no file.
        case own(certificate: String, key: String)

        /// SHA-256 of the public key (SubjectPublicKeyInfo, DER) of the certificate.
        ///
        /// - Throws: ``ServerError`` where there is no usable pair.
        package func publicKeyDigest() throws(ServerError) -> [UInt8] {
            guard let key = try? pair().certificates.first?.extractPublicKey().toSPKIBytes() else {
                throw ServerError("the certificate for HTTPS has no key that can be used")
            }
            return Array(SHA256.hash(data: key))
        }

        /// The chain and its key, as TLS takes them.
        func pair() throws(ServerError) -> (certificates: [NIOSSLCertificate], key: NIOSSLPrivateKey) {
            switch self {
            case .own(let certificate, let key):
                do {
                    return (
                        try NIOSSLCertificate.fromPEMBytes(Array(certificate.utf8)),
                        try NIOSSLPrivateKey(bytes: Array(key.utf8), format: .pem)
                    )
                } catch { throw ServerError("the server's own certificate cannot be used: \(error)") }
            case .files(let certificate, let key):
                if let mode = try? FileManager.default.attributesOfItem(atPath: key)[.posixPermissions]
                    as? Int
                {
                    guard mode & 0o007 == 0 else {
                        throw ServerError("'--https-key \(key)': everybody may read it; 'chmod 600' it")
                    }
                }
                do {
                    return (
                        try NIOSSLCertificate.fromPEMFile(certificate),
                        try NIOSSLPrivateKey(file: key, format: .pem)
                    )
                } catch {
                    throw ServerError("'--https-cert \(certificate)', '--https-key \(key)': no usable pair")
                }
            }
        }
    }
}
