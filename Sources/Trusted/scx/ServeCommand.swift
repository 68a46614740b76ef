#if Network
    import ArgumentParser
    import Foundation
    import Logging
    import SCX
    import SCXAttestation
    import SCXEngine
    import SCXImages
    import SCXGateway
    import SCXInference
    import SCXLink
    import SCXLinkTLS
    import SCXOptions
    import SCXProfiles
    import SCXText
    import Tracing

    struct ServeCommand: AsyncParsableCommand {
        static let configuration = CommandConfiguration(
            commandName: "serve", abstract: "Answer OpenAI clients over HTTP.",
            discussion: """
                Any client of the OpenAI interface works by changing its base URL; the prompt and the answer stay on this \
                side. Every option can also be given in the environment ('--max-kept' is SCX_MAX_KEPT, '--scx-noise' is \
                SCX_NOISE) and in the file of '--config' (max-kept, noise); the command line wins, then the environment. \
                SIGTERM lets running answers end. docs/endpoint.md has the rest.
                """)

        @OptionGroup(title: "Model and worker") var options: ModelOptions
        @OptionGroup(title: "Server") var serve: ServeOptions

        func validate() throws {
            if serve.alsoProfile == .scx, options.speculate != .off {
                throw ValidationError(
                    "'--speculate' does not go with '--also-profile scx', whose sessions generate a single row at a time."
                )
            }
        }

        func run() async throws {
            var command = self
            // What it says of itself is the same to who gives secrets and to who asks for evidence.
            let statement = serve.attest.isUsed ? try statement() : nil
            var secrets: SecretFiles?
            if let statement { secrets = try await serve.attest.secrets(for: statement) }
            if let secrets { try command.take(secrets) }
            try await command.answer(statement)
            // The files last as long as the server.
            withExtendedLifetime(secrets) {}
        }

        /// Opens the model and answers until the process is told to end.
        ///
        /// - Parameter statement: What an attested server says of itself.
        /// - Throws: What keeps the model or the server from starting.
        private func answer(_ statement: ServerStatement?) async throws {
            var server = try serve.server()
            let spans = try serve.spans()
            if let spans { InstrumentationSystem.bootstrap(spans) }
            // What the worker saw is shown only to programs on this machine.
            let showsViews = !serve.noPage && server.isLoopback
            var links: [TappedLink] = []
            /// The links to workers of each profile, in the order of `forwards`.
            var profileLinks: [[TappedLink]] = []
            /// Wraps a link so that the page can show what crosses it.
            func tapped(_ link: any WorkerLink) -> any WorkerLink {
                guard showsViews else { return link }
                let tapped = TappedLink(link)
                links.append(tapped)
                return tapped
            }
            let model = try OpenModel(options, wrap: tapped)
            profileLinks.append(links)
            var forwards = [(options.profile, model.forward)]
            if let other = serve.alsoProfile, other != options.profile {
                links = []
                forwards.append((other, try model.forward(other, wrap: tapped)))
                profileLinks.append(links)
            }
            let vault = try serve.vault()
            let (chatFormat, chatFault) = model.chatFormat()
            if let chatFault {
                standardError(
                    "warning: the chat template cannot be used (\(chatFault)): only completions are served")
            }
            var profiles: [ServedProfile] = []
            for (index, (profile, forward)) in forwards.enumerated() {
                let loop = EngineLoop(limits: serve.engine, vault: vault) { model.makeEngine(forward) }
                profiles.append(
                    ServedProfile(
                        profile.facts, loop: loop, links: profileLinks[index], sealed: forward.sealedReport))
            }
            var scorer: PairScorer?
            var scorerFault: String?
            do { scorer = try model.scorer() } catch let error as EmbeddingError { scorerFault = "\(error)" }
            let pictures = model.pictures(limits: .ofClients)
            if let fault = pictures?.fault {
                standardError("warning: pictures cannot be taken, only texts (\(fault))")
            }
            let served = ServedModel(
                name: model.name, tokenizer: model.tokenizer, chatFormat: chatFormat, chatFault: chatFault,
                stopTokens: model.stopTokens, configuration: model.configuration, embedder: model.embedder,
                scorer: scorer, scorerFault: scorerFault,
                pictures: pictures, profiles: profiles,
                aliases: serve.servedModelName)

            let observer = ServerObserver(
                metrics: ServerMetrics(model: model.name, profiles: profiles.map(\.name)),
                logger: serve.logger)
            let views =
                showsViews
                ? WorkerViewStore(
                    WorkerView(
                        model.checkpoint, format: options.weights, tokenizer: model.tokenizer,
                        chatFormat: chatFormat, threads: options.threads ?? ThreadPool.systemCores)) : nil
            var routes = RouteTable(
                answers: ModelAnswers(served, observer: observer, views: views), responses: ResponseStore(),
                metrics: observer.metrics, facts: facts)
            if !serve.noPage { routes.addPage(views: views) }
            var proof: AttestFlags.Proof?
            if let statement, serve.attest.attest {
                let made = try serve.attest.proof(
                    of: statement,
                    hosts: Array(Set([server.host, "localhost", ProcessInfo.processInfo.hostName])).sorted())
                proof = made
                server.tls = made.tls
                routes.addAttestation { nonce throws(APIError) in try await made.document(nonce) }
            }
            let gateway = GatewayServer(options: server, routes: routes, observer: observer)
            observer.logger.notice(
                "starting", metadata: ["model": "\(model.name)", "insecure": "\(serve.insecure)"])
            for case let sealed? in profiles.map(\.sealed) where !sealed.peers.isEmpty {
                observer.logger.notice(
                    "the owners of workers and of peers must not collude: together they read everything",
                    metadata: [
                        "workers": "\(sealed.workers.joined(separator: ", "))",
                        "peers": "\(sealed.peers.joined(separator: ", "))",
                    ])
            }
            try await gateway.run { [proof] port in greet(port, served, proof) }
            for profile in profiles { await profile.loop.drain() }
            spans?.forceFlush()
            observer.logger.notice("ended")
        }

        /// The fields of `/health` that say how this server was started.
        private var facts: [JSON.Member] {
            [
                .init(
                    "worker",
                    .string(
                        options.workers.isEmpty
                            ? "own process" : options.workers.map(\.name).joined(separator: ", "))),
                .init("insecure", .bool(serve.insecure)),
                .init("https", .bool(serve.httpsCert != nil || serve.attest.attest)),
                .init("api_keys", .bool(serve.apiKeys != nil)), .init("attested", .bool(serve.attest.attest)),
            ]
        }

        /// Prints the server's address and what else a user needs to begin.
        private func greet(_ port: Int, _ model: ServedModel, _ proof: AttestFlags.Proof?) {
            let host = serve.host.contains(":") ? "[\(serve.host)]" : serve.host
            let hasTLS = serve.httpsCert != nil || proof != nil
            let url = "\(hasTLS ? "https" : "http")://\(host):\(port)"
            var lines = [
                "scx serves \(model.name) at \(url)\(serve.noPage ? "" : " (a page for people is there, too)")",
                "",
            ]
            lines += proof == nil ? examples(url, model) : ["  scx proxy --upstream \(url) --policy FILE"]
            lines += [
                "",
                "  model    \(model.name), \(options.weights.rawValue), context \(model.configuration.maximumLength)",
                "  worker   \(options.workers.isEmpty ? "a process of its own on this machine" : options.workers.map(\.name).joined(separator: ", "))",
            ]
            for sealed in model.profiles.compactMap(\.sealed) { lines.append("  owners   \(sealed.owners)") }
            lines.append("")
            lines += ProfileFacts.table(model.profiles.map(\.facts)).map { "  " + $0 }
            if let proof {
                lines += [
                    "  evidence \(url)\(AttestationDocument.path)",
                    "  files    of the model have SHA-256 \(proof.statement.modelDigest)",
                ]
            }
            if serve.insecure {
                lines.append("  INSECURE: other machines may connect without TLS or API keys")
            }
            standardOutput(lines.joined(separator: "\n") + "\n")
        }

        /// How clients ask.
        private func examples(_ url: String, _ model: ServedModel) -> [String] {
            let key = serve.apiKeys == nil ? "" : " -H 'Authorization: Bearer KEY'"
            return [
                "  curl \(url)/v1/chat/completions\(key) -H 'Content-Type: application/json' \\",
                "    -d '{\"messages\": [{\"role\": \"user\", \"content\": \"What are the symptoms of asthma?\"}]}'",
                "",
                "  python3 -c 'from openai import OpenAI; c = OpenAI(base_url=\"\(url)/v1\", api_key=\"\(serve.apiKeys == nil ? "none" : "KEY")\"); "
                    + "print(c.chat.completions.create(model=\"\(model.name)\", messages=[{\"role\": \"user\", \"content\": \"Hello\"}]).choices[0].message.content)'",
            ]
        }
    }
#endif
