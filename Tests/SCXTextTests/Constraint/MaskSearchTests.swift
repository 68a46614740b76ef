import SCXInference
import SCXText
import Testing

@Suite("searches for allowed tokens")
struct MaskSearchTests {
    @Test(
        "a search in parts finds what one without a break finds",
        arguments: TokenConstraintTests.schemas.indices)
    func parts(index: Int) throws {
        let tokenizer = try TokenConstraintTests.bundled.get()
        let end = try #require(tokenizer.id(for: "<|end|>"))
        let table = TokenTable(tokenizer)
        let schema = try JSONSchema(JSON(parsing: TokenConstraintTests.schemas[index].quoted))
        // Two grammars, so that one does not know what the other has found.
        var whole = try TokenConstraint(.schema(schema), table: table, endTokens: [end])
        var parted = try TokenConstraint(.schema(schema), table: table, endTokens: [end])
        var generator = Generator(state: UInt64(index) + 1)
        for _ in 0..<40 {
            var mask = parted.known()
            if mask == nil {
                var search = parted.search()
                var found: TokenMask?
                while found == nil { found = try search.advance() }
                mask = found.map { parted.allowed($0) }
            }
            let allowed = try #require(mask)
            #expect(allowed == whole.allowed())
            #expect(parted.known() == allowed)
            let tokens = (0..<Int32(table.vocabularySize)).filter { allowed.contains($0) && $0 != end }
            guard let token = tokens.randomElement(using: &generator) else { break }
            whole.accept(token)
            parted.accept(token)
        }
    }

    @Test("a search that needs too many steps ends with the limit's name")
    func limit() throws {
        let schema: JSON = ["type": "object", "additionalProperties": ["enum": ["a", "b"]]]
        let grammar = try CompiledGrammar(
            .schema(JSONSchema(schema)), table: ByteTokens.table.get(), endTokens: [ByteTokens.end],
            mostSteps: 3)
        var constraint = TokenConstraint(grammar)
        var search = constraint.search()
        #expect(throws: ConstraintError.overLimit(.maskSteps, 3)) {
            while try search.advance() == nil {}
        }
        constraint.fail(.overLimit(.maskSteps, 3))
        #expect(constraint.isStuck && constraint.allowed().count == 1)
        #expect(constraint.failure == .overLimit(.maskSteps, 3))
    }

    @Test("answers of one grammar share what is found, and forgetting it changes nothing")
    func sharing() throws {
        let schema: JSON = ["type": "array", "items": ["type": "string", "maxLength": 3000]]
        let memory = GrammarMemory(bytes: 1, least: 40_000, most: 40_000)
        let grammar = try CompiledGrammar(
            .schema(JSONSchema(schema)), table: ByteTokens.table.get(), endTokens: [ByteTokens.end],
            memory: memory)
        let element = "\"" + String(repeating: "é\\n漢", count: 300) + "\""
        let text = "[" + Array(repeating: element, count: 4).joined(separator: ",") + "]"
        var (first, second) = (TokenConstraint(grammar), TokenConstraint(grammar))
        var largest = 0
        for (place, byte) in text.utf8.enumerated() {
            #expect(first.allowed().contains(Int32(byte)))
            first.accept(Int32(byte))
            // The second answer stays behind, in states that the first has left.
            if place % 3 == 0 { largest = max(largest, grammar.size) }
        }
        for byte in text.utf8 {
            #expect(second.allowed().contains(Int32(byte)))
            second.accept(Int32(byte))
        }
        #expect(first.isComplete && second.isComplete)
        #expect(largest < 2_000_000)
    }

    @Test("alternatives that nest are read together, not each alone")
    func nesting() throws {
        let schema = """
            {'$defs':{'x':{'anyOf':[\((0..<10).map {
                "{'type':'object','properties':{'left':{'$ref':'#/$defs/x'},'op':{'const':'\($0)'}},'required':['left','op']}"
            }.joined(separator: ",")),{'type':'null'}]}},'$ref':'#/$defs/x'}
            """
        let constraint = try ByteTokens.constraint(schema)
        let depth = 30
        let text =
            String(repeating: "{'left':", count: depth) + "null"
            + (0..<depth).map { ",'op':'\($0 % 10)'}" }.joined()
        #expect(ByteTokens.accepts(text.quoted.utf8, constraint))
        #expect(!ByteTokens.accepts(text.quoted.utf8.dropLast(), constraint))
    }
}
