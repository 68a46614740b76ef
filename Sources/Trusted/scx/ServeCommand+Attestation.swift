#if Network
    import ArgumentParser
    import Foundation
    import SCX
    import SCXAttestation
    import SCXGateway
    import SCXInference
    import SCXOptions

    extension ServeCommand {
        /// What this server says of itself in evidence.
        ///
        /// - Throws: `EvidenceError` where a file of the model cannot be read.
        func statement() throws -> ServerStatement {
            let directory = try options.loaded.directory()
            var progress = ProgressLine("hashing the model")
            defer { progress.finish() }
            let digest = try ModelDigest.digest(of: directory) { done, all in
                progress.show(Double(done) / Double(max(all, 1)))
            }
            let peers = options.sealed.pads.given.compactMap { place -> String? in
                guard case .peer(let worker) = place else { return nil }
                return worker.name
            }
            return ServerStatement(
                software: "swift-scx \(GatewayVersion.text)", revision: serve.attest.revision,
                model: URL(filePath: directory).lastPathComponent, modelDigest: digest,
                profiles: ([options.profile] + (serve.alsoProfile.map { [$0] } ?? [])).map(\.rawValue)
                    .reduce(into: []) { if !$0.contains($1) { $0.append($1) } },
                workers: options.workers.map(\.name), peers: peers)
        }

        /// Uses secrets in the place of the flags' files.
        ///
        /// - Throws: `ValidationError` where conversations would be stored under a key that was made on the disk beside them.
        mutating func take(_ secrets: SecretFiles) throws {
            guard serve.sessionDir == nil || serve.sessionKey != nil || secrets.paths["session-key"] != nil
            else {
                throw ValidationError(
                    "'--session-dir' with '--secrets-from' needs the secret 'session-key', which the releaser did not give."
                )
            }
            serve.apiKeys = secrets.paths["api-keys"] ?? serve.apiKeys
            serve.sessionKey = secrets.paths["session-key"] ?? serve.sessionKey
            options.tls.tlsCert = secrets.paths["tls-cert"] ?? options.tls.tlsCert
            options.tls.tlsKey = secrets.paths["tls-key"] ?? options.tls.tlsKey
            options.tls.tlsCa = secrets.paths["tls-ca"] ?? options.tls.tlsCa
        }
    }
#endif
