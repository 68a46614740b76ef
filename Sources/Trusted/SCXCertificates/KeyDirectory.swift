import SwiftASN1

#if canImport(Glibc)
    import Glibc
#elseif canImport(Musl)
    import Musl
#else
    import Darwin
#endif

/// A directory with one side's key and the certificates that it trusts.
///
/// It has `key.pem`, which only its owner can read; `cert.pem`, which is to be given to others; and `trusted.pem`,
/// with the certificates of others.
package struct KeyDirectory: Sendable {
    package let path: String
    package var key: String { "\(path)/key.pem" }
    package var certificate: String { "\(path)/cert.pem" }
    package var trusted: String { "\(path)/trusted.pem" }

    package init(_ path: String) { self.path = path }

    /// Stores a new key pair; makes the directory if it is not there.
    ///
    /// - Parameters:
    ///   - pair: The key and its certificate.
    ///   - replacing: Whether a key that is there may be overwritten, after which it is lost.
    /// - Throws: ``CertificateError``
    package func save(_ pair: KeyPair, replacing: Bool = false) throws(CertificateError) {
        guard unsafe mkdir(path, 0o700) == 0 || errno == EEXIST else {
            throw systemError(path, "make this directory")
        }
        if !replacing {
            for file in [key, certificate] where unsafe access(file, F_OK) == 0 {
                throw CertificateError(file, "is there already; --force overwrites it")
            }
        }
        try write(pair.key, to: key, mode: 0o600, replacing: replacing)
        try write(pair.certificate, to: certificate, mode: 0o644, replacing: true)
    }

    /// Adds the certificates of a file to those that are trusted.
    ///
    /// - Parameter file: PEM.
    /// - Returns: The file's certificates, and for each whether it is new.
    /// - Throws: ``CertificateError``
    package func trust(
        _ file: String
    ) throws(CertificateError) -> [(certificate: CertificateSummary, isNew: Bool)] {
        let offered = try Self.certificates(file)
        var kept: [CertificateSummary] = []
        if unsafe access(trusted, F_OK) == 0 { kept = try Self.certificates(trusted) }
        var result: [(certificate: CertificateSummary, isNew: Bool)] = []
        for certificate in offered {
            let isNew = !kept.contains(certificate)
            result.append((certificate, isNew))
            if isNew { kept.append(certificate) }
        }
        guard result.contains(where: \.isNew) else { return result }
        let text = kept.map { PEMDocument(type: "CERTIFICATE", derBytes: $0.der).pemString + "\n" }.joined()
        try write(text, to: trusted, mode: 0o644, replacing: true)
        return result
    }

    /// Reads the certificates of a PEM file.
    ///
    /// - Parameter file: PEM.
    /// - Returns: At least one.
    /// - Throws: ``CertificateError``, also for a file that contains a private key, which nobody should give to
    ///   others.
    package static func certificates(_ file: String) throws(CertificateError) -> [CertificateSummary] {
        let text = try read(file)
        guard !text.contains("PRIVATE KEY-----") else {
            throw CertificateError(
                file, "holds a private key; give the certificate, which is in another file")
        }
        guard let documents = try? PEMDocument.parseMultiple(pemString: text),
            documents.contains(where: { $0.discriminator == "CERTIFICATE" })
        else { throw CertificateError(file, "holds no certificate in PEM form, or a damaged one") }
        return try documents.filter { $0.discriminator == "CERTIFICATE" }
            .map { document throws(CertificateError) in
                try CertificateSummary(der: document.derBytes, from: file)
            }
    }
}

private func read(_ path: String) throws(CertificateError) -> String {
    let limit = 1 << 20
    let file = unsafe open(path, O_RDONLY | O_CLOEXEC)
    guard file >= 0 else { throw systemError(path, "read it") }
    defer { close(file) }
    var bytes: [UInt8] = []
    var chunk = [UInt8](repeating: 0, count: 1 << 16)
    while bytes.count <= limit {
        let count = unsafe read(file, &chunk, chunk.count)
        guard count >= 0 else { throw systemError(path, "read it") }
        if count == 0 { return String(decoding: bytes, as: UTF8.self) }
        bytes += chunk[..<count]
    }
    throw CertificateError(path, "is too large for keys and certificates")
}

/// Writes a file so that it is complete under its name, or not there at all.
private func write(
    _ text: String, to path: String, mode: mode_t, replacing: Bool
) throws(CertificateError) {
    let temporary = "\(path).\(getpid()).partial"
    unsafe unlink(temporary)
    let file = unsafe open(temporary, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, mode)
    guard file >= 0 else { throw systemError(path, "write it") }
    defer {
        close(file)
        unsafe unlink(temporary)
    }
    var rest = Array(text.utf8)[...]
    while !rest.isEmpty {
        let count = unsafe rest.withUnsafeBytes { unsafe write(file, $0.baseAddress, $0.count) }
        guard count >= 0 else { throw systemError(path, "write it") }
        rest = rest.dropFirst(count)
    }
    guard fsync(file) == 0 else { throw systemError(path, "write it") }
    // A hard link, unlike a rename, never replaces a file that was made in the meantime.
    let named = replacing ? unsafe rename(temporary, path) : unsafe link(temporary, path)
    guard named == 0 else { throw systemError(path, "write it") }
}

private func systemError(_ path: String, _ action: String) -> CertificateError {
    CertificateError(path, unsafe "cannot \(action): \(String(cString: strerror(errno)))")
}
