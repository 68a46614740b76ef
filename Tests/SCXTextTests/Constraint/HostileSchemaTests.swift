import Foundation
import SCXInference
import SCXText
import Testing

/// Schemas that were made to stop a server: each is compiled within its budget, or refused with a line that names a limit.
@Suite("hostile schemas")
struct HostileSchemaTests {
    /// What became of a schema, and what that cost.
    struct Outcome {
        var error: ConstraintError?
        var steps = 0
        var nodes = 0
        var constraint: TokenConstraint?
    }

    static func compile(_ schema: JSON) throws -> Outcome {
        // Steps count and not seconds, which a sanitizer multiplies.
        var limits = CompilationLimits()
        limits.time = .seconds(86_400)
        let budget = CompilationBudget(limits)
        var outcome = Outcome()
        do throws(ConstraintError) {
            let grammar = Grammar.schema(try JSONSchema(schema, budget: budget))
            let table: TokenTable
            do { table = try ByteTokens.table.get() } catch { return outcome }
            outcome.constraint = TokenConstraint(
                try CompiledGrammar(grammar, table: table, endTokens: [ByteTokens.end], budget: budget))
        } catch { outcome.error = error }
        (outcome.steps, outcome.nodes) = (budget.steps, budget.nodes)
        return outcome
    }

    /// A list of the same schema with another at its end.
    static func nested(_ levels: Int, width: Int) -> JSON {
        var schema: JSON = [:]
        for _ in 0..<levels {
            schema = ["prefixItems": .array(Array(repeating: [:], count: width - 1) + [schema])]
        }
        return schema
    }

    @Test("31 levels of 255 first elements are compiled, and an answer can be held to them")
    func prefixItems() throws {
        let outcome = try Self.compile(Self.nested(31, width: 256))
        #expect(outcome.error == nil && outcome.steps < 2_000_000)
        var constraint = try #require(outcome.constraint)
        for byte in "[1,[],{".utf8 {
            #expect(constraint.allowed().contains(Int32(byte)))
            constraint.accept(Int32(byte))
        }
        #expect(try Self.compile(Self.nested(70, width: 2)).error != nil)
    }

    @Test("schemas that contain themselves many times are compared once a pair")
    func disjointness() throws {
        for names in [1, 40] {
            let required = (0..<names).map { JSON.string("a\($0)") }
            let properties = (0..<names).map { JSON.Member("a\($0)", ["$ref": "#/$defs/x"]) }
            let schema: JSON = [
                "$defs": [
                    "x": ["type": "object", "required": .array(required), "properties": .object(properties)]
                ],
                "oneOf": [["$ref": "#/$defs/x"], ["$ref": "#/$defs/x"]],
            ]
            let outcome = try Self.compile(schema)
            #expect(outcome.error?.description.contains("'oneOf'") == true)
            #expect(outcome.steps < 10_000)
        }
        // One name written 40 times, as it was found.
        let one: JSON = [
            "$defs": [
                "x": [
                    "type": "object", "required": .array(Array(repeating: "a", count: 40)),
                    "properties": ["a": ["$ref": "#/$defs/x"]],
                ],
                "y": [
                    "type": "object", "required": .array(Array(repeating: "a", count: 40)),
                    "properties": ["a": ["$ref": "#/$defs/y"]],
                ],
            ],
            "oneOf": [["$ref": "#/$defs/x"], ["$ref": "#/$defs/y"]],
        ]
        let outcome = try Self.compile(one)
        #expect(outcome.error?.description.contains("'oneOf'") == true && outcome.steps < 10_000)
    }

    @Test("a chain of schemas that differ at its end alone is told apart")
    func deepDifference() throws {
        func chain(_ end: JSON) -> JSON {
            var schema = end
            for _ in 0..<40 {
                schema = ["type": "object", "required": ["a"], "properties": ["a": schema]]
            }
            return schema
        }
        #expect(try Self.compile(["oneOf": [chain(["const": 1]), chain(["const": 2])]]).error == nil)
        #expect(try Self.compile(["oneOf": [chain(["const": 1]), chain(["const": 1.0])]]).error != nil)
    }

    @Test(
        "work grows with the schema, not with its square",
        arguments: ["allOf", "minLength", "enum", "required"])
    func growth(kind: String) throws {
        func schema(_ size: Int) -> JSON {
            switch kind {
            case "allOf":
                .object([
                    .init(
                        "allOf",
                        .array(
                            (0..<size).map {
                                ["properties": .object([.init("p\($0 % 200)", ["minLength": 1])])]
                            }))
                ])
            case "minLength":
                .object((0..<size).map { .init("minLength", .int($0)) })
            case "enum":
                [
                    "oneOf": .array(
                        (0..<8).map { part in
                            ["enum": .array((0..<size / 8).map { .string("\(part) \($0)") })]
                        })
                ]
            default:
                [
                    "allOf": .array(
                        (0..<size / 100).map { part in
                            [
                                "type": "object",
                                "required": .array((0..<100).map { .string("r\(part % 4) \($0)") }),
                            ]
                        })
                ]
            }
        }
        let (small, large) = (try Self.compile(schema(2_000)), try Self.compile(schema(16_000)))
        #expect(large.steps < 12 * small.steps + 10_000)
        if kind == "minLength" {
            #expect(large.error?.description == "the schema's 'minLength' at '#' is given twice")
        }
    }

    @Test("whatever multiplies is refused by its limit")
    func multiplying() throws {
        let factors = (0..<12).map { factor -> JSON in
            ["anyOf": .array((1...4).map { ["minLength": .int(factor * 4 + $0)] })]
        }
        let product = try Self.compile(["allOf": .array(factors)])
        #expect(product.error?.description.contains("more than") == true)
        let wide = JSON.array(Array(repeating: JSON.string("x"), count: 200_000))
        #expect(try Self.compile(["enum": wide]).error == .overLimit(.values, 100_000))
        let long = JSON.string(String(repeating: "x", count: 2 << 20))
        #expect(try Self.compile(["const": long]).error == .overLimit(.bytes, 1 << 20))
        let lengths = (0..<200).map { JSON.Member("p\($0)", ["maxLength": .int(4000 - $0)]) }
        #expect(try Self.compile(["properties": .object(lengths)]).error == .overLimit(.nodes, 300_000))
        let references = (0..<2000).map { ["$ref": .string("#/$defs/x\($0)")] as JSON }
        #expect(
            try Self.compile(["anyOf": .array(references)]).error?.description.contains("names nothing")
                == true)
    }

    @Test(
        "expressions that can be read in too many ways are refused when they are compiled",
        arguments: [
            "^((.?){900}){900}$", "^(.*a.{20}|b)$", "(((a|b)*c){50}){50}", "^((a{1,900}){1,900}){1,900}$",
            "(x+x+)+y.{30}[aeiou].{400}z|[aeiou].{40}z",
        ])
    func ambiguous(expression: String) throws {
        let outcome = try Self.compile(["type": "string", "pattern": .string(expression)])
        guard case .overLimit(let limit, _) = outcome.error else {
            Issue.record("\(String(describing: outcome.error)), \(outcome.steps) steps")
            return
        }
        #expect(limit == .states || limit == .steps)
        #expect(outcome.steps < 3_000_000)
    }

    @Test(
        "sensible expressions are compiled to few states",
        arguments: [
            (#"^[a-zA-Z0-9._%+-]+@[a-zA-Z0-9.-]+\.[a-zA-Z]{2,}$"#, "a.b@c.de", "a@b"),
            (#"^(.?){60}$"#, "abc", String(repeating: "a", count: 61)),
            (#"foo.{0,3}bar"#, "xxfoo12bary", "foo1234bar"),
            (#"^(\+\d{1,3} ?)?\(?\d{3}\)?[ -]?\d{3}-\d{4}$"#, "+1 (555) 123-4567", "555-12"),
            (#"^https?://[^\s/$.?#].[^\s]*$"#, "https://a.b/c", "ftp://a"),
            (#"[aeiou].{8}$"#, "xxa12345678", "xxa1234567"),
            (#"^.{0,1000}$"#, "", "a\nb"), (#"é|漢"#, "a漢", "a"), (#"^$"#, "", "a"), (#""#, "\"\\", nil),
        ] as [(String, String, String?)])
    func sensible(expression: String, fitting: String, other: String?) throws {
        let outcome = try Self.compile(["type": "string", "pattern": .string(expression)])
        let constraint = try #require(outcome.constraint, "\(String(describing: outcome.error))")
        #expect(outcome.steps < 500_000)
        #expect(ByteTokens.accepts(JSON.string(fitting).text.utf8, constraint))
        if let other { #expect(!ByteTokens.accepts(JSON.string(other).text.utf8, constraint)) }
    }

    @Test(
        "hostile schemas are timed",
        .enabled(if: ProcessInfo.processInfo.environment["SCX_TIME"] != nil))
    func time() throws {
        let references = (0..<200).map { number -> JSON in
            [
                "type": "object", "required": ["left"],
                "properties": .object([
                    .init("left", ["$ref": "#/$defs/x"]), .init("k\(number)", ["type": "string"]),
                ]),
            ]
        }
        let schemas: [(String, JSON)] = [
            ("nested", Self.nested(31, width: 256)),
            (
                "merged",
                [
                    "allOf": .array(
                        (0..<500).map { ["properties": .object([.init("p\($0 % 200)", ["minLength": 1])])] })
                ]
            ),
            (
                "values",
                [
                    "oneOf": .array(
                        (0..<8).map { list in ["enum": .array((0..<5_000).map { .string("\(list) \($0)") })] }
                    )
                ]
            ),
            ("pattern", ["type": "string", "pattern": "[aeiou].{11}$"]),
            (
                "alternatives",
                ["$defs": ["x": ["anyOf": .array(references + [["type": "null"]])]], "$ref": "#/$defs/x"]
            ),
        ]
        for (name, schema) in schemas {
            var outcome = Outcome()
            let duration = try ContinuousClock().measure { outcome = try Self.compile(schema) }
            print(
                "schema", name, schema.text.utf8.count, "bytes", outcome.steps, "steps", outcome.nodes,
                "nodes", duration)
            guard let constraint = outcome.constraint else { continue }
            let large = TokenTable(try TokenConstraintTests.largeTokenizer(32_000))
            var other = try TokenConstraint(.schema(JSONSchema(schema)), table: large, endTokens: [0])
            _ = constraint
            var random = Generator(state: 3)
            for step in 0..<6 {
                var search = other.search()
                let time = try ContinuousClock().measure { while try search.advance() == nil {} }
                print("  mask", step, search.steps, "steps", time)
                let mask = other.allowed()
                guard
                    let token = (1..<Int32(32_000)).filter({ mask.contains($0) }).randomElement(
                        using: &random)
                else { break }
                other.accept(token)
            }
        }
    }

    @Test("nothing is compiled for a client that has gone")
    func cancelled() throws {
        let budget = CompilationBudget(isCancelled: { true })
        #expect(throws: ConstraintError.cancelled) {
            try JSONSchema(Self.nested(31, width: 256), budget: budget)
        }
    }

    @Test("a budget pays for all schemas of a request together")
    func together() throws {
        var limits = CompilationLimits()
        limits.values = 1000
        let budget = CompilationBudget(limits)
        let schema: JSON = ["enum": .array((0..<300).map { .int($0) })]
        for _ in 0..<3 { _ = try JSONSchema(schema, budget: budget) }
        #expect(throws: ConstraintError.overLimit(.values, 1000)) {
            try JSONSchema(schema, budget: budget)
        }
    }

    @Test("random schemas are compiled within the budget or refused, and answers can be written")
    func random() throws {
        var generator = Generator(state: 11)
        var compiled = 0
        for _ in 0..<Self.rounds {
            var size = Int.random(in: 4...400, using: &generator)
            let schema = RandomSchema.schema(&size, 0, &generator)
            let outcome = try Self.compile(schema)
            #expect(outcome.steps <= 20_100_000 && outcome.nodes <= 300_000)
            guard var constraint = outcome.constraint else {
                #expect(outcome.error != nil)
                continue
            }
            compiled += 1
            for _ in 0..<60 {
                let mask = constraint.allowed()
                #expect(!mask.isEmpty && constraint.failure == nil && !constraint.isStuck)
                let start = Int32.random(in: 0...256, using: &generator)
                let token = (0...256).lazy.map { (start + $0) % 257 }.first { mask.contains($0) }
                constraint.accept(try #require(token))
                if constraint.isFinal { break }
            }
        }
        #expect(compiled > Self.rounds / 20)
    }

    #if DEBUG
        static let rounds = 200
    #else
        static let rounds = 3000
    #endif
}
