import Foundation
import SCXEngine
import SCXInference
import SCXText
import Testing

@Suite("constrained tokens")
struct TokenConstraintTests {
    private static let root = URL(fileURLWithPath: #filePath)
        .deletingLastPathComponent().deletingLastPathComponent().deletingLastPathComponent()
        .deletingLastPathComponent()

    static let bundled = Result {
        try Tokenizer(directory: root.appending(path: "Models/ward-3m").path)
    }

    static func tokenizer(_ name: String) throws -> Tokenizer {
        name == "ward-3m" ? try bundled.get() : try TokenizerFixtures.tokenizer(name)
    }

    static let schemas = [
        "{'type':'object'}",
        "{'type':'object','properties':{'name':{'type':'string','maxLength':12},'age':{'type':'integer','minimum':0,"
            + "'maximum':150},'tags':{'type':'array','items':{'enum':['red','green','blue']},'maxItems':3},"
            + "'email':{'anyOf':[{'type':'string'},{'type':'null'}]}},'required':['name','age','tags','email'],"
            + "'additionalProperties':false}",
        "{'$defs':{'tree':{'type':'object','properties':{'label':{'type':'string','minLength':1},'kids':"
            + "{'type':'array','items':{'$ref':'#/$defs/tree'}}},'required':['label']}},'$ref':'#/$defs/tree'}",
        "{'type':'array','items':{'type':'object','properties':{'é':{'type':'number','exclusiveMinimum':-2.5,"
            + "'maximum':40}},'additionalProperties':{'type':'boolean'}},'minItems':2,'maxItems':4}",
        "{'type':'object','properties':{'id':{'type':'string','pattern':'^[a-f]{3}\\\\.\\\\d{2,4}$'},'when':{'type':"
            + "'string','format':'date'},'s':{'oneOf':[{'const':'on'},{'type':'number'}]}},'required':['id','s']}",
    ]

    /// Draws an answer with random logits; after `length` tokens those that close something are favoured.
    private func walk(
        _ constraint: TokenConstraint, _ tokenizer: Tokenizer, end: Int32, seed: UInt64, length: Int
    ) throws -> String {
        var constraint = constraint
        var parameters = SamplingParameters()
        parameters.seed = seed
        var sampler = try Sampler(parameters)
        var random = RandomBits(seed: seed &+ 77)
        var closing: [(Int32, Float)] = [(end, 400)]
        let table = TokenTable(tokenizer)
        for (byte, bonus) in zip("\"}]".utf8, [300, 200, 100] as [Float]) {
            for id in 0..<Int32(table.vocabularySize) where table.bytes(of: id, atStart: false) == [byte] {
                closing.append((id, bonus))
            }
        }
        var decoder = Tokenizer.StreamDecoder(tokenizer)
        var text = ""
        var logits = [Float](repeating: 0, count: tokenizer.vocabularySize)
        for step in 0..<600 {
            for id in logits.indices { logits[id] = Float(random.next() >> 40) * 0x1p-22 }
            for (id, bonus) in closing { logits[Int(id)] += step < length ? 5 : bonus }
            let token = try sampler.sample(logits.span, allowed: constraint.allowed())
            #expect(!constraint.isStuck)
            constraint.accept(token.id)
            if token.id == end { break }
            text += decoder.push(token.id)
        }
        #expect(constraint.isComplete && !constraint.isStuck)
        return text + decoder.finish()
    }

    @Test(
        "random answers are JSON that fits the schema",
        arguments: families)
    func randomAnswers(family: String) throws {
        let tokenizer = try Self.tokenizer(family)
        let table = TokenTable(tokenizer)
        let end = try #require(
            ["<|end|>", "</s>", "<|end_of_text|>"].compactMap { tokenizer.id(for: $0) }.first)
        for (index, schema) in Self.schemas.enumerated() {
            let schema = try JSON(parsing: schema.quoted)
            let constraint = try TokenConstraint(
                .schema(JSONSchema(schema)), table: table, endTokens: [end])
            for seed in 0..<Self.walks {
                let text = try walk(
                    constraint, tokenizer, end: end, seed: seed * 10 + UInt64(index), length: Self.length)
                let value = try #require(try? JSON(parsing: text), "\(text)")
                #expect(SchemaValidator(schema).holds(value), "\(text)")
            }
        }
    }

    // Debug builds walk less, since unoptimised code is some fifty times slower.
    #if DEBUG
        static let (walks, length): (UInt64, Int) = (1, 20)
        static let families = ["ward-3m", "llama2"]
    #else
        static let (walks, length): (UInt64, Int) = (40, 40)
        static let families = ["ward-3m", "llama2", "llama3", "mistral"]
    #endif

    @Test(
        "the bytes of tokens are those that the decoder gives",
        arguments: TokenizerFixtures.families + ["ward-3m"])
    func tokenBytes(family: String) throws {
        let tokenizer = try Self.tokenizer(family)
        let table = TokenTable(tokenizer)
        #expect(table.vocabularySize == tokenizer.vocabularySize)
        var before: Int32 = 0
        while table.bytes(of: before, atStart: true).map({ $0 }) != Array("a".utf8) { before += 1 }
        for id in 0..<Int32(table.vocabularySize) {
            if tokenizer.isSpecial(id) {
                #expect(table.bytes(of: id, atStart: false).isEmpty)
                continue
            }
            let alone = table.bytes(of: id, atStart: true)
            let inside = table.bytes(of: id, atStart: false)
            // Parts of characters decode to a replacement character.
            guard String(validating: inside, as: UTF8.self) != nil else { continue }
            #expect(tokenizer.decode([id]).utf8.elementsEqual(alone), "\(id)")
            #expect(tokenizer.decode([before, id]).utf8.dropFirst().elementsEqual(inside), "\(id)")
        }
    }

    @Test("where a tokenizer drops a first space, the first token may bring one")
    func firstSpace() throws {
        let tokenizer = try Self.tokenizer("llama2")
        let table = TokenTable(tokenizer)
        let ids = tokenizer.encode("the", addSpecialTokens: false)
        #expect(tokenizer.token(for: ids[0]) == "▁the")
        let end = try #require(tokenizer.id(for: "</s>"))
        var first = try TokenConstraint(.literal("the"), table: table, endTokens: [end])
        let inside = try TokenConstraint(.literal("the"), table: table, endTokens: [end], atStart: false)
        var later = inside
        #expect(first.allowed().contains(ids[0]) && !later.allowed().contains(ids[0]))
        first.accept(ids[0])
        #expect(first.isComplete && first.allowed().count == 1 && first.allowed().contains(end))
        var spaced = try TokenConstraint(.literal(" the"), table: table, endTokens: [end], atStart: false)
        #expect(spaced.allowed().contains(ids[0]))
        var unspaced = try TokenConstraint(.literal(" the"), table: table, endTokens: [end])
        #expect(!unspaced.allowed().contains(ids[0]))
    }

    @Test("a forced tool call is its texts around the arguments")
    func toolCall() throws {
        let schema = try JSONSchema(
            JSON(
                parsing: "{'type':'object','properties':{'city':{'type':'string'}},'required':['city']}"
                    .quoted))
        func call(_ name: String) -> Grammar {
            .sequence([
                .literal("<tool_call>\n{\"name\": \"\(name)\", \"arguments\": "), .schema(schema),
                .literal("}\n</tool_call>"),
            ])
        }
        let constraint = try ByteTokens.constraint(.choice([call("weather"), call("where")]))
        for name in ["weather", "where"] {
            let text = "<tool_call>\n{'name': '\(name)', 'arguments': {'city':'Oslo'}}\n</tool_call>".quoted
            #expect(ByteTokens.accepts(text.utf8, constraint))
            #expect(!ByteTokens.accepts(text.utf8.dropLast(), constraint))
        }
        #expect(!ByteTokens.accepts("<tool_call>\n{\"name\": \"whether\"".utf8, constraint))
        let tokenizer = try Self.bundled.get()
        let end = try #require(tokenizer.id(for: "<|end|>"))
        let drawn = try TokenConstraint(
            .choice([call("weather"), call("where")]), table: TokenTable(tokenizer), endTokens: [end])
        let text = try walk(drawn, tokenizer, end: end, seed: 3, length: 30)
        #expect(ByteTokens.accepts(text.utf8, constraint))
    }

    @Test("when nothing but the end is possible only end tokens are allowed")
    func end() throws {
        var constraint = try ByteTokens.constraint(.choice([.literal("ab"), .literal("abc"), .literal("")]))
        #expect(constraint.isComplete && constraint.allowed().count == 2)
        constraint.accept(97)
        #expect(!constraint.isComplete && constraint.allowed().count == 1)
        constraint.accept(98)
        #expect(constraint.isComplete && constraint.allowed().count == 2)
        constraint.accept(99)
        #expect(constraint.isComplete && constraint.allowed().count == 1)
        #expect(constraint.allowed().contains(ByteTokens.end))
        constraint.accept(ByteTokens.end)
        #expect(constraint.isComplete && !constraint.isStuck && constraint.allowed().count == 1)
    }

    @Test("a token that does not fit leaves the answer stuck, with the end allowed")
    func stuck() throws {
        for token: Int32 in [0, 256, 257, -1, .max] {
            var constraint = try ByteTokens.constraint(.literal("ab"))
            constraint.accept(token)
            #expect(constraint.isStuck && constraint.allowed().contains(ByteTokens.end))
            #expect(constraint.allowed().count == 1)
        }
        // A vocabulary without the letter.
        let file: JSON = [
            "decoder": ["type": "ByteLevel"],
            "model": ["type": "BPE", "vocab": ["a": 0, "b": 1], "merges": []],
        ]
        let table = TokenTable(try Tokenizer(json: file, name: "small"))
        var constraint = try TokenConstraint(.literal("ac"), table: table, endTokens: [1])
        #expect(constraint.allowed().contains(0) && !constraint.isStuck)
        constraint.accept(0)
        #expect(constraint.allowed().contains(1) && constraint.isStuck && !constraint.isComplete)
    }

    @Test("nesting is bounded so that JSON readers take it, and it can always be closed")
    func nesting() throws {
        for (grammar, opening) in [(Grammar.anyValue, "["), (.anyObject, "{\"\":")] {
            var constraint = try ByteTokens.constraint(grammar)
            var text: [UInt8] = []
            func take(_ byte: UInt8) -> Bool {
                guard constraint.allowed().contains(Int32(byte)) else { return false }
                constraint.accept(Int32(byte))
                text.append(byte)
                return true
            }
            var count = 0
            while count < 1000, opening.utf8.allSatisfy(take) { count += 1 }
            #expect((30..<128).contains(count))
            while !constraint.isComplete, text.count < 10_000 {
                let closes = "]}\"0".utf8.contains { take($0) }
                try #require(closes)
            }
            _ = try JSON(parsing: text.span)
        }
    }

    @Test("many states are forgotten without a change")
    func forgetting() throws {
        var constraint = try ByteTokens.constraint(
            "{'type':'array','items':{'type':'string','maxLength':3000}}")
        let text =
            "["
            + Array(repeating: "\"" + String(repeating: "é\\n", count: 700) + "\"", count: 3)
            .joined(separator: ",") + "]"
        for byte in text.utf8 {
            #expect(constraint.allowed().contains(Int32(byte)))
            constraint.accept(Int32(byte))
        }
        #expect(constraint.isComplete)
    }

    @Test(
        "masks of a large vocabulary are timed",
        .enabled(if: ProcessInfo.processInfo.environment["SCX_TIME"] != nil))
    func time() throws {
        let clock = ContinuousClock()
        for size in [32_000, 128_000] {
            let tokenizer = try Self.largeTokenizer(size)
            var table: TokenTable?
            let building = clock.measure { table = TokenTable(tokenizer) }
            print("constraint", size, "table", building)
            guard let table else { return }
            for (index, schema) in Self.schemas.enumerated() {
                let schema = try JSONSchema(JSON(parsing: schema.quoted))
                var constraint: TokenConstraint?
                let preparing = try clock.measure {
                    constraint = try TokenConstraint(.schema(schema), table: table, endTokens: [0])
                }
                guard let fresh = constraint else { return }
                var times: [Duration] = []
                for seed in 0..<20 as Range<UInt64> {
                    var constraint = fresh
                    var random = RandomBits(seed: seed)
                    for _ in 0..<60 {
                        var mask = TokenMask(capacity: 0)
                        times.append(clock.measure { mask = constraint.allowed() })
                        if constraint.isComplete { break }
                        var token = Int32(random.next() % UInt64(size))
                        while !mask.contains(token) { token = (token + 1) % Int32(size) }
                        constraint.accept(token)
                    }
                }
                times.sort()
                print(
                    "constraint", size, "schema", index, "prepared", preparing, "median",
                    times[times.count / 2],
                    "95%", times[times.count * 95 / 100], "most", times[times.count - 1])
            }
        }
    }

    /// A byte-level tokenizer of many random words, as long as those of published vocabularies.
    static func largeTokenizer(_ size: Int) throws -> Tokenizer {
        let small = try bundled.get()
        var random = RandomBits(seed: 1)
        var vocabulary: [JSON.Member] = []
        var seen: Set<String> = []
        for id in 0..<Int32(small.vocabularySize) where !small.isSpecial(id) {
            if let text = small.token(for: id), seen.insert(text).inserted {
                vocabulary.append(.init(text, .int(vocabulary.count)))
            }
        }
        let words = vocabulary.map(\.name)
        while vocabulary.count < size {
            let text =
                words[Int(random.next() % UInt64(words.count))]
                + words[Int(random.next() % UInt64(words.count))]
            if seen.insert(text).inserted { vocabulary.append(.init(text, .int(vocabulary.count))) }
        }
        return try Tokenizer(
            json: [
                "decoder": ["type": "ByteLevel"],
                "model": ["type": "BPE", "vocab": .object(vocabulary), "merges": []],
            ], name: "large")
    }
}
