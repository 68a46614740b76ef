#if Network
    import ArgumentParser
    import SCXAttestation
    import SCXProxy

    extension AttestFlags {
        /// Where secrets come from, and the SHA-256 of the key of who gives them.
        func releaser() throws -> (address: UpstreamAddress, keyDigest: [UInt8])? {
            guard let secretsFrom, let secretsKey else { return nil }
            guard let address = UpstreamAddress(secretsFrom) else {
                throw ValidationError(
                    "'--secrets-from \(secretsFrom)' is not https://HOST or https://HOST:PORT.")
            }
            guard let digest = Hex.bytes(secretsKey), digest.count == 32 else {
                throw ValidationError("'--secrets-key' is not 32 bytes in base 16.")
            }
            return (address, digest)
        }

        /// Fetches the secrets; nil where none are asked for.
        ///
        /// - Parameter statement: What runs here.
        /// - Returns: The secrets, as files.
        /// - Throws: An error of one line that names the address.
        func secrets(for statement: ServerStatement) async throws -> SecretFiles? {
            guard let (address, digest) = try releaser() else { return nil }
            let source = try TSMReports(directory: attestReports)
            let collateral = try collateral()
            do {
                return try SecretFiles(
                    try await SecretsClient(address, keyDigest: digest)
                        .fetch(statement: statement, source: source, collateral: collateral))
            } catch {
                throw SecretsError("'--secrets-from \(address)': \(error)")
            }
        }
    }
#endif
