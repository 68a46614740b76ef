import NIOCore
import NIOSSL

#if canImport(Glibc)
    import Glibc
#elseif canImport(Musl)
    import Musl
#else
    import Darwin
#endif

/// This side's certificate and key, and the certificates that it trusts, for either end of mutual TLS 1.3.
///
/// A peer is accepted if its certificate is within its dates and is itself in the trust file. Such a certificate need
/// not name the host, since nobody else holds its key. Certificates that are only signed by one in the file are
/// accepted if the caller of ``TLSClient`` or ``TLSServer`` asks for that. The system's own list of authorities plays
/// no part.
public struct TLSIdentity: Sendable {
    /// The path of the trust file, for error texts.
    let trustFile: String
    let trusted: [NIOSSLCertificate]
    private let configuration: TLSConfiguration

    /// Reads the files, which are all PEM.
    ///
    /// - Parameters:
    ///   - certificate: This side's certificate, followed by those that lead to its authority, if any.
    ///   - key: The certificate's private key. Only the file's owner and group may have access to it.
    ///   - trusted: Certificates of peers, or of authorities that sign them.
    /// - Throws: ``TLSFileError``
    public init(certificate: String, key: String, trusted: String) throws(TLSFileError) {
        let chain = try Self.certificates(certificate)
        let privateKey = try Self.privateKey(key)
        self.trusted = try Self.certificates(trusted)
        trustFile = trusted
        var configuration = TLSConfiguration.makeServerConfiguration(
            certificateChain: chain.map { .certificate($0) }, privateKey: .privateKey(privateKey))
        configuration.minimumTLSVersion = .tlsv13
        configuration.maximumTLSVersion = .tlsv13
        configuration.trustRoots = .certificates(self.trusted)
        configuration.shutdownTimeout = .seconds(1)
        self.configuration = configuration
        do {
            _ = try context(.noHostnameVerification)
        } catch {
            throw TLSFileError(path: key, reason: "is not the private key of \(certificate)")
        }
    }

    /// Reads the files of a directory that `scx keys` made: `cert.pem`, `key.pem` and `trusted.pem`.
    ///
    /// - Throws: ``TLSFileError``
    public init(directory: String) throws(TLSFileError) {
        try self.init(
            certificate: "\(directory)/cert.pem", key: "\(directory)/key.pem",
            trusted: "\(directory)/trusted.pem")
    }

    /// Makes the TLS settings that all connections with this kind of verification share.
    func context(_ verification: CertificateVerification) throws -> NIOSSLContext {
        var configuration = configuration
        configuration.certificateVerification = verification
        return try NIOSSLContext(configuration: configuration)
    }

    private static func certificates(_ path: String) throws(TLSFileError) -> [NIOSSLCertificate] {
        let bytes = try read(path, isSecret: false)
        guard let certificates = try? NIOSSLCertificate.fromPEMBytes(bytes), !certificates.isEmpty else {
            throw TLSFileError(path: path, reason: "holds no certificate in PEM form, or a damaged one")
        }
        return certificates
    }

    private static func privateKey(_ path: String) throws(TLSFileError) -> NIOSSLPrivateKey {
        var bytes = try read(path, isSecret: true)
        defer { erase(&bytes) }
        guard let key = try? NIOSSLPrivateKey(bytes: bytes, format: .pem) else {
            throw TLSFileError(
                path: path, reason: "holds no private key in PEM form, or a damaged or locked one")
        }
        return key
    }

    /// Reads a small file whole.
    private static func read(_ path: String, isSecret: Bool) throws(TLSFileError) -> [UInt8] {
        let limit = 1 << 20
        let file = unsafe open(path, O_RDONLY | O_CLOEXEC)
        guard file >= 0 else { throw systemError(path) }
        defer { close(file) }
        var status = stat()
        guard unsafe fstat(file, &status) == 0 else { throw systemError(path) }
        guard status.st_mode & S_IFMT == S_IFREG else {
            throw TLSFileError(path: path, reason: "is not a file")
        }
        guard !isSecret || status.st_mode & 0o007 == 0 else {
            throw TLSFileError(
                path: path, reason: "everybody may read this private key; run: chmod 600 \(path)")
        }
        guard status.st_size <= limit else {
            throw TLSFileError(path: path, reason: "is too large for keys and certificates")
        }
        // Allocate the right size at once, since an array that grows leaves copies of a key in freed memory.
        var bytes = [UInt8](repeating: 0, count: Int(status.st_size))
        var done = 0
        while done < bytes.count {
            let room = bytes.count - done
            let count = unsafe bytes.withUnsafeMutableBytes { bytes in
                unsafe Self.readSome(file, bytes.baseAddress.map { unsafe $0 + done }, room)
            }
            guard count >= 0 else { throw systemError(path) }
            guard count > 0 else { throw TLSFileError(path: path, reason: "changed while it was read") }
            done += count
        }
        return bytes
    }

    @unsafe private static func readSome(_ file: Int32, _ to: UnsafeMutableRawPointer?, _ count: Int) -> Int {
        #if canImport(Glibc)
            unsafe Glibc.read(file, to, count)
        #elseif canImport(Musl)
            unsafe Musl.read(file, to, count)
        #else
            unsafe Darwin.read(file, to, count)
        #endif
    }

    /// Overwrites a secret in a way that the optimiser must not remove.
    private static func erase(_ bytes: inout [UInt8]) {
        unsafe bytes.withUnsafeMutableBytes { bytes in
            guard let start = bytes.baseAddress else { return }
            #if canImport(Darwin)
                _ = unsafe memset_s(start, bytes.count, 0, bytes.count)
            #else
                unsafe explicit_bzero(start, bytes.count)
            #endif
        }
    }

    private static func systemError(_ path: String) -> TLSFileError {
        TLSFileError(path: path, reason: unsafe "cannot read it: \(String(cString: strerror(errno)))")
    }
}
