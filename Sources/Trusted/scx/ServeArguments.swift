#if Network
    import ArgumentParser
    import Configuration
    import Foundation
    import SystemPackage

    /// Completes the command line of `scx serve` with settings from the environment and a file.
    ///
    /// An option on the command line wins over the environment, and the environment over the file. `--session-dir` is
    /// `SCX_SESSION_DIR` in the environment and `session-dir` in the file; `--scx-noise` is `SCX_NOISE` and `noise`.
    enum ServeArguments {
        /// Names of the options that take a value, as on the command line.
        static let options = [
            "model", "weights", "threads", "profile", "speculate", "pads", "bank", "site-data", "pad-memory",
            "pad-rows",
            "pace", "kv", "shard", "worker", "tls-cert", "tls-key", "tls-ca", "scx-ls", "scx-le",
            "scx-redundancy", "scx-noise", "scx-reuse", "scx-compress", "also-profile", "host", "port",
            "api-keys",
            "https-cert", "https-key", "max-running", "max-waiting", "max-per-key", "max-kept", "idle",
            "seal-after",
            "session-dir", "session-key", "drain", "log-level", "trace", "attest-reports",
            "attest-collateral",
            "revision", "secrets-from", "secrets-key",
        ]
        /// Names of the options that may be given several times: lists in the file, values with commas between them in
        /// the environment.
        static let lists = ["served-model-name", "allow-origin"]
        /// Names of the options that take no value.
        static let flags = ["insecure", "no-page", "log-json", "attest"]

        /// The name of an option in the file; the name in the environment follows from it, with `SCX_` before.
        static func key(of option: String) -> String {
            option.hasPrefix("scx-") ? String(option.dropFirst(4)) : option
        }

        /// Adds to the arguments the options that only the environment or the file has.
        ///
        /// - Parameters:
        ///   - arguments: The arguments after `scx serve`.
        ///   - environment: The environment's variables.
        /// - Returns: The arguments for the command's parser.
        /// - Throws: `ValidationError` that names the file or variable at fault.
        static func filled(_ arguments: [String], environment: [String: String]) async throws -> [String] {
            let variables = EnvironmentVariablesProvider(environmentVariables: environment)
                .prefixKeys(with: "scx")
            var providers: [any ConfigProvider] = [variables]
            if let path = value(of: "config", in: arguments) ?? environment["SCX_CONFIG"] {
                do {
                    providers.append(try await FileProvider<YAMLSnapshot>(filePath: FilePath(path)))
                } catch {
                    throw ValidationError("'--config \(path)': cannot be read as YAML (\(error)).")
                }
            }
            let reader = ConfigReader(providers: providers)
            var filled = arguments
            for option in options where value(of: option, in: arguments) == nil {
                if let value = reader.string(forKey: ConfigKey([key(of: option)])) {
                    filled += ["--\(option)", value]
                }
            }
            for option in lists where value(of: option, in: arguments) == nil {
                let key = ConfigKey([key(of: option)])
                let values = reader.stringArray(forKey: key) ?? reader.string(forKey: key).map { [$0] }
                for value in values ?? [] { filled += ["--\(option)", value] }
            }
            for flag in flags where !arguments.contains("--\(flag)") {
                switch reader.string(forKey: ConfigKey([key(of: flag)])) {
                case nil, "false"?, "no"?, "0"?: break
                case "true"?, "yes"?, "1"?: filled.append("--\(flag)")
                case .some:
                    throw ValidationError(
                        "'\(key(of: flag))' in the environment or the file is neither true nor false.")
                }
            }
            return filled
        }

        /// The value of an option, given as `--option value` or `--option=value`; nil if it is not given.
        private static func value(of option: String, in arguments: [String]) -> String? {
            for (index, argument) in arguments.enumerated() {
                if argument == "--\(option)" { return arguments.dropFirst(index + 1).first ?? "" }
                if argument.hasPrefix("--\(option)=") { return String(argument.dropFirst(option.count + 3)) }
            }
            return nil
        }
    }
#endif
