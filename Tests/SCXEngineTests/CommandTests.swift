import Foundation
import SCXInference
import Testing

/// Runs the program as a person does.
@Suite("commands")
struct CommandTests {
    static let folder = URL(filePath: WorkerProcessTests.worker).deletingLastPathComponent()
    static let parity = TinyModel.folder.path

    struct Result {
        let status: Int32
        let output: String
        let error: String

        /// Lines of the error, without the usage that follows a wrong flag and without progress.
        var errorLines: [Substring] {
            error.split(separator: "\n").filter { line in
                !["Usage:", "  See", "Help:", "loading", "profiling"].contains { line.hasPrefix($0) }
            }
        }
    }

    /// Where the programs of these tests keep profiles of models.
    static let cache = FileManager.default.temporaryDirectory.appending(
        path: "scx-cache-\(UUID().uuidString)")

    /// Where they keep what was used of banks of pads.
    static let state = FileManager.default.temporaryDirectory.appending(
        path: "scx-state-\(UUID().uuidString)")

    func run(_ program: String, _ arguments: [String], input: String = "", cache: URL = Self.cache) throws
        -> Result
    {
        let process = Process()
        process.executableURL =
            program.hasPrefix("/") ? URL(filePath: program) : Self.folder.appending(path: program)
        process.arguments = arguments
        // ArgumentParser leaves a few bytes behind when it exits with an error; that is not for these tests.
        process.environment = ProcessInfo.processInfo.environment.merging([
            "ASAN_OPTIONS": "detect_leaks=0", "XDG_CACHE_HOME": cache.path,
            "XDG_STATE_HOME": Self.state.path,
        ]) { $1 }
        let (output, error, stdin) = (Pipe(), Pipe(), Pipe())
        process.standardOutput = output
        process.standardError = error
        process.standardInput = stdin
        try process.run()
        stdin.fileHandleForWriting.write(Data(input.utf8))
        try stdin.fileHandleForWriting.close()
        let text = String(decoding: output.fileHandleForReading.readDataToEndOfFile(), as: UTF8.self)
        let errors = String(decoding: error.fileHandleForReading.readDataToEndOfFile(), as: UTF8.self)
        process.waitUntilExit()
        #expect(process.terminationReason == .exit, "\(program) crashed: \(errors)")
        return Result(status: process.terminationStatus, output: text, error: errors)
    }

    @Test("generate prints one JSON object whose tokens are those of transformers")
    func generateJSON() throws {
        let (prompt, _, greedy) = try ParityExpectations.read(Self.parity + "/llama-gqa2")
        let result = try run(
            "scx",
            [
                "generate", "--model", Self.parity + "/llama-gqa2", "--profile", "plain", "--weights", "f32",
                "--worker", "inprocess",
                "--prompt-ids", prompt.map(String.init).joined(separator: ","), "--max-tokens", "48",
                "--ignore-eos", "--json",
            ])
        #expect(result.status == 0)
        let json = try JSON(parsing: result.output.trimmingCharacters(in: .whitespacesAndNewlines))
        #expect(json["tokens"]?.array?.compactMap { $0.int } == greedy)
        #expect(json["finish_reason"] == "length" && json["profile"] == "plain")
        #expect(json["logprobs"]?.array?.count == 48)
        #expect(json["timings"]?["prompt_tokens"]?.int == prompt.count)
        #expect((json["link"]?["exchanges"]?.int ?? 0) >= 96)
    }

    @Test("an option that a command does not have is named before what is missing")
    func unknownOptions() throws {
        let commands: [(String, [[String]])] = [
            (
                "scx",
                [
                    ["generate"], ["chat"], ["logits"], ["perplexity"], ["tokenize"], ["models", "check"],
                    ["models", "profile"], ["models", "sites"], ["pads", "fill"], ["pads", "status"],
                ]
            ),
            ("scx-worker", [[]]),
            (
                "scx-lab",
                [
                    ["synth"], ["bench"], ["sealed"], ["endure"], ["attention"], ["long-context"],
                    ["agreement"],
                    ["overhead"], ["load"], ["attack-server"], ["report"], ["stateless"], ["fuzz"],
                    ["transcript", "show"],
                ]
            ),
        ]
        for (program, all) in commands {
            for command in all {
                for option in ["--promt", "--promt=1"] {
                    let result = try run(program, command + [option])
                    #expect(result.status == 64, "\(program) \(command)")
                    #expect(
                        result.error.hasPrefix("Error: Unknown option '--promt'"),
                        "\(program) \(command): \(result.error)")
                    #expect(!result.error.contains("issing"))
                }
            }
        }
        // What is known and missing is said as before.
        let missing = try run("scx", ["generate", "--json"])
        #expect(missing.status == 64 && missing.error.contains("'--prompt'"))
        let version = try run("scx", ["--version"])
        #expect(version.status == 0)
    }

    @Test("the bundled model gives its samples, through a worker of its own")
    func samples() throws {
        let samples = try JSON(
            parsing: String(contentsOfFile: LeakTests.bundled + "/samples.json", encoding: .utf8))
        let list = try #require(samples.array ?? samples["samples"]?.array)
        #expect(list.count == 10)
        for sample in list {
            let ids = (sample["prompt_ids"]?.array ?? []).compactMap { $0.int }
            let expected = (sample["greedy_ids"]?.array ?? sample["ids"]?.array ?? []).compactMap { $0.int }
            try #require(!ids.isEmpty && !expected.isEmpty)
            let result = try run(
                "scx",
                [
                    "generate", "--profile", "plain", "--weights", "f32", "--json", "--prompt-ids",
                    ids.map(String.init).joined(separator: ","), "--max-tokens", "\(expected.count)",
                ])
            let json = try JSON(parsing: result.output.trimmingCharacters(in: .whitespacesAndNewlines))
            #expect(json["tokens"]?.array?.compactMap { $0.int } == expected)
        }
    }

    @Test("a conversation goes on over turns, and is saved and forgotten on demand")
    func chat() throws {
        let file = FileManager.default.temporaryDirectory.appending(
            path: "scx-chat-\(UUID().uuidString).json")
        defer { try? FileManager.default.removeItem(at: file) }
        let result = try run(
            "scx", ["chat", "--worker", "inprocess", "--max-tokens", "40"],
            input: "What is metformin for?\n/save \(file.path)\n/reset\n/nonsense\nThank\\\nyou\n")
        #expect(result.status == 0)
        #expect(result.output.contains("diabetes"))
        #expect(result.error.contains("unknown command '/nonsense'"))
        let saved = try JSON(parsing: String(contentsOf: file, encoding: .utf8))
        #expect(saved.array?.count == 2 && saved.array?.first?["content"] == "What is metformin for?")
    }

    @Test("tokenize, logits, perplexity and models check work on the bundled model")
    func others() throws {
        let tokens = try run("scx", ["tokenize", "--prompt", "Hello, ward.", "--json"])
        #expect(try JSON(parsing: tokens.output)["text"] == "Hello, ward.")
        let folder = FileManager.default.temporaryDirectory.appending(path: "scx-\(UUID().uuidString)")
        try FileManager.default.createDirectory(at: folder, withIntermediateDirectories: true)
        defer { try? FileManager.default.removeItem(at: folder) }
        let text = folder.appending(path: "text.txt").path
        try String(repeating: "The patient has asthma and takes salbutamol. ", count: 20).write(
            toFile: text, atomically: true, encoding: .utf8)
        let out = folder.appending(path: "l.safetensors").path
        #expect(
            try run("scx", ["logits", "--worker", "inprocess", "--prompt-ids", "5,6,7", "--out", out]).status
                == 0)
        let file = try SafeTensorsFile(out)
        #expect(try file.tensor("logits").shape == [3, 4096])
        let result = try run(
            "scx", ["perplexity", "--worker", "inprocess", "--text", text, "--context", "64", "--json"])
        let perplexity = try #require(try JSON(parsing: result.output)["perplexity"]?.double)
        #expect(perplexity > 1 && perplexity < 100)
        #expect(try run("scx", ["models", "check", LeakTests.bundled]).output.hasSuffix("ok\n"))
    }

    @Test("without a profile it is sealed: the tokens of fixed-point, pads counted, and only ring requests")
    func sealedProfile() throws {
        let prompt = [
            "generate", "--chat", "--prompt", "What are the symptoms of asthma?", "--max-tokens", "24",
            "--json",
        ]
        func answer(_ more: [String]) throws -> JSON {
            let result = try run("scx", prompt + more)
            #expect(result.status == 0, "\(result.error)")
            return try JSON(parsing: result.output.trimmingCharacters(in: .whitespacesAndNewlines))
        }
        let reference = try answer(["--profile", "fixed-point"])
        #expect(reference["link"]?["exchanges"] == 0)
        for options in [
            [], ["--pad-rows", "powers"], ["--worker", "inprocess", "--pads", "direct"],
        ] {
            let sealed = try answer(options)
            #expect(sealed["profile"] == "sealed" && sealed["weights"] == "int8")
            #expect(sealed["refused_products"] == 0)
            #expect((sealed["pads"]?["direct"]?.int ?? 0) > 0)
            #expect(sealed["tokens"] == reference["tokens"])
            #expect(sealed["logprobs"] == reference["logprobs"])
        }
        for format in LayerCache.Format.allCases where format != .f32 {
            let rounded = try answer(["--profile", "fixed-point", "--kv", format.rawValue])
            let sealed = try answer(["--worker", "inprocess", "--kv", format.rawValue])
            #expect(rounded["logprobs"] != reference["logprobs"], "\(format)")
            #expect(sealed["tokens"] == rounded["tokens"] && sealed["logprobs"] == rounded["logprobs"])
        }
        for (options, line) in [
            (["--weights", "bf16"], "profile sealed multiplies int8"),
            (["--pads", "peer:unix:/nowhere", "--worker", "unix:/nowhere"], "/nowhere"),
            (["--profile", "plain", "--pads", "direct"], "need '--profile sealed'"),
            (["--pads", "nonsense"], "nonsense"), (["--pace", "0"], "--pace"),
            (["--kv", "int4"], "'int4'"),
            (["--profile", "plain", "--kv", "int8"], "need '--profile sealed'"),
        ] {
            let result = try run("scx", prompt + options)
            #expect(result.status != 0 && result.error.contains(line), "\(result.error)")
        }
    }

    @Test("scx-lab attention measures each format, context and number of rows, and refuses what is none")
    func attentionBench() throws {
        let result = try run(
            "scx-lab",
            [
                "attention", "--model-shape", "tiny-qwen3", "--context", "70,130", "--rows", "1,5",
                "--repeats", "1",
                "--memory", "1", "--threads", "2",
            ])
        #expect(result.status == 0, "\(result.error)")
        let lines = result.output.split(separator: "\n").dropFirst()
        #expect(lines.count == 2 * 2 * LayerCache.Format.allCases.count)
        #expect(lines.allSatisfy { $0.contains(" ms, ") && $0.contains(" of peak, cache ") })
        #expect(lines.contains { $0.hasPrefix("int8 130 tokens, 5 rows: ") })
        for (options, word) in [
            (["--kv", "int4"], "--kv int4"), (["--context", "0"], "--context 0"),
            (["--rows", "71"], "--rows 71"),
            (["--model-shape", "x"], "--model-shape x"), (["--repeats", "0"], "--repeats"),
        ] {
            let arguments = ["attention", "--model-shape", "tiny-qwen3", "--context", "70"] + options
            let result = try run("scx-lab", arguments)
            #expect(result.status == 64 && result.error.contains(word), "\(result.error)")
        }
    }

    @Test("profile scx gives the tokens of plain, by a worker of its own, however it is told to hide them")
    func scxProfile() throws {
        let prompt = [
            "generate", "--chat", "--prompt", "What are the symptoms of asthma?", "--max-tokens", "24",
            "--json",
        ]
        func tokens(_ more: [String]) throws -> (tokens: [Int], exchanges: Int) {
            let result = try run("scx", prompt + more)
            #expect(result.status == 0, "\(result.error)")
            let json = try JSON(parsing: result.output.trimmingCharacters(in: .whitespacesAndNewlines))
            return (
                json["tokens"]?.array?.compactMap { $0.int } ?? [], json["link"]?["exchanges"]?.int ?? 0
            )
        }
        let plain = try tokens(["--profile", "plain"])
        for options in [
            [],
            ["--scx-ls", "2", "--scx-le", "2", "--scx-redundancy", "ratio:0.5", "--scx-reuse", "session"],
            ["--scx-noise", "3", "--scx-redundancy", "fixed:9", "--scx-compress", "int8"],
        ] {
            let scx = try tokens(["--profile", "scx"] + options)
            #expect(scx.tokens == plain.tokens)
            #expect(scx.exchanges > plain.exchanges)
        }
        let chat = try run(
            "scx", ["chat", "--profile", "scx"], input: "What is asthma?\nAnd its treatment?\n/quit\n")
        #expect(chat.status == 0)
        #expect(
            chat.output
                == (try run(
                    "scx", ["chat", "--profile", "plain"],
                    input: "What is asthma?\nAnd its treatment?\n/quit\n"
                ).output))
    }

    @Test("a model's profile is measured once, kept, and measured again when the file is damaged")
    func modelProfile() throws {
        let cache = Self.cache.appending(path: "own")
        let result = try run("scx", ["models", "profile", "--scale", "2", "--json"], cache: cache)
        #expect(result.status == 0, "\(result.error)")
        let json = try JSON(parsing: result.output.trimmingCharacters(in: .whitespacesAndNewlines))
        let scales = json["scales"]?.array ?? []
        #expect(scales.count == 5)
        let auto = try #require(json["noise_scale"]?.double)
        // At the scale found, no more tokens are named than guessing names.
        let chosen = try #require(scales.first { $0["scale"]?.double == auto })
        #expect((chosen["hits"]?.int ?? .max) < 20)
        #expect((chosen["numeric_error"]?.double ?? 1) < 1e-3)

        let files = try FileManager.default.contentsOfDirectory(atPath: cache.path + "/scx")
        let path = cache.path + "/scx/" + (try #require(files.first { $0.hasSuffix(".safetensors") }))
        try Data(contentsOf: URL(filePath: path)).prefix(1_000).write(to: URL(filePath: path))
        let again = try run(
            "scx", ["generate", "--profile", "scx", "--prompt", "x", "--max-tokens", "2"], cache: cache)
        #expect(again.status == 0 && again.error.contains("warning") && again.error.contains(path))
        let last = try run(
            "scx", ["generate", "--profile", "scx", "--prompt", "x", "--max-tokens", "2"], cache: cache)
        #expect(last.errorLines.isEmpty)
    }

    /// What a person may get wrong, and what the answer must name.
    static let mistakes: [(arguments: [String], names: String)] = [
        (["generate", "--model", "/nowhere", "--prompt", "x"], "/nowhere"),
        (["generate", "--prompt", "x", "--weights", "int3"], "int3"),
        (["generate", "--prompt", "x", "--temperature", "-1"], "temperature"),
        (["generate", "--prompt", "x", "--prompt-ids", "1"], "--prompt-ids"),
        (["generate", "--prompt-ids", "1,x"], "'x'"),
        (["generate", "--prompt-ids", "99999999", "--worker", "inprocess"], "vocabulary"),
        (
            [
                "generate", "--prompt-ids", String(repeating: "7,", count: 1_024) + "7", "--worker",
                "inprocess",
            ], "1025 tokens"
        ),
        (["generate", "--prompt", "x", "--worker", "unix:/nowhere/socket"], "/nowhere/socket"),
        (["generate", "--prompt", "x", "--worker", "tcp://127.0.0.1:1"], "--tls-cert"),
        (["generate", "--prompt-file", "/nowhere.txt"], "/nowhere.txt"),
        (["generate", "--prompt", "x", "--scx-ls", "2"], "--profile scx"),
        (["generate", "--prompt", "x", "--profile", "scx", "--speculate", "ngram:4"], "--speculate"),
        (["generate", "--prompt", "x", "--speculate", "ngram:0"], "ngram:0"),
        (["generate", "--prompt", "x", "--speculate", "model:/nowhere:3"], "/nowhere"),
        (["generate", "--prompt", "x", "--speculate", "model:" + parity + "/qwen3"], "vocabulary"),
        (["generate", "--prompt", "x", "--profile", "scx", "--scx-ls", "5"], "5 + 1"),
        (["generate", "--prompt", "x", "--profile", "scx", "--scx-ls", "0"], "--scx-ls 0"),
        (["generate", "--prompt", "x", "--profile", "scx", "--scx-noise", "-2"], "--scx-noise"),
        (["generate", "--prompt", "x", "--profile", "scx", "--scx-redundancy", "ratio:"], "ratio:"),
        (["models", "profile", "/nowhere"], "/nowhere"),
        (
            ["generate", "--model", parity + "/qwen3", "--prompt", "x", "--worker", "inprocess"],
            "--prompt-ids"
        ),
        (["models", "check", parity], "config.json"),
        (["perplexity", "--text", "/nowhere.txt", "--worker", "inprocess"], "/nowhere.txt"),
        (
            ["logits", "--prompt-ids", "1", "--out", "/nowhere/l.safetensors", "--worker", "inprocess"],
            "/nowhere"
        ),
        (["keys", "show", "/nowhere.pem"], "/nowhere.pem"),
        (["frobnicate"], "frobnicate"),
    ]

    @Test(
        "a mistake is answered with one clear line and a status that is not zero",
        arguments: 0..<mistakes.count)
    func answersMistakes(index: Int) throws {
        let (arguments, names) = Self.mistakes[index]
        let result = try run("scx", arguments)
        #expect(result.status != 0)
        #expect(result.errorLines.count == 1, "\(result.error)")
        #expect(result.error.contains(names), "\(result.error)")
        // The program's own usage belongs to words that name no command.
        #expect(
            result.error.contains("Usage: scx <subcommand>") == (arguments == ["frobnicate"]),
            "\(result.error)")
    }

    @Test(
        "a checkpoint that is cut off or damaged is one line that names the file",
        arguments: [0, 4, 100, 5_000, 50_000])
    func cutOff(bytes: Int) throws {
        let folder = FileManager.default.temporaryDirectory.appending(path: "scx-\(UUID().uuidString)")
        defer { try? FileManager.default.removeItem(at: folder) }
        try FileManager.default.copyItem(at: URL(filePath: Self.parity + "/llama-gqa2"), to: folder)
        let weights = folder.appending(path: "model.safetensors")
        let data = try Data(contentsOf: weights)
        try data.prefix(bytes).write(to: weights)
        for program in ["scx", "scx-worker"] {
            let arguments =
                program == "scx"
                ? ["generate", "--model", folder.path, "--prompt-ids", "1", "--worker", "inprocess"]
                : ["--model", folder.path, "--listen", "unix:\(folder.path)/s"]
            let result = try run(program, arguments)
            #expect(result.status != 0)
            #expect(
                result.errorLines.count == 1 && result.error.contains("model.safetensors"), "\(result.error)")
        }
    }
}

/// The tensors of a parity case; see `Tests/Fixtures/parity/README.md`.
enum ParityExpectations {
    static func read(_ directory: String) throws -> (prompt: [Int], vocabulary: Int, greedy: [Int]) {
        let bytes = [UInt8](try Data(contentsOf: URL(filePath: directory + "/expected.safetensors")))
        func integer(_ bytes: ArraySlice<UInt8>) -> Int { bytes.reversed().reduce(0) { $0 << 8 | Int($1) } }
        let headerBytes = integer(bytes[0..<8])
        let header = try JSON(parsing: String(decoding: bytes[8..<8 + headerBytes], as: UTF8.self))
        func integers(_ name: String) -> [Int] {
            let offsets = (header[name]?["data_offsets"]?.array ?? []).compactMap { $0.int }
            guard offsets.count == 2 else { return [] }
            let start = 8 + headerBytes
            return stride(from: start + offsets[0], to: start + offsets[1], by: 8).map {
                integer(bytes[$0..<$0 + 8])
            }
        }
        let vocabulary = header["logits"]?["shape"]?.array?.last?.int ?? 0
        return (integers("prompt"), vocabulary, integers("greedy"))
    }
}
