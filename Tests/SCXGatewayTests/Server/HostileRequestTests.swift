import Crypto
import Foundation
import SCXEngine
import SCXGateway
import SCXInference
import SCXText
import Testing

/// Requests that were made to stop a server for everybody else.
@Suite("hostile requests")
struct HostileRequestTests {
    private static func format(_ schema: JSON) -> JSON.Member {
        .init(
            "response_format",
            ["type": "json_schema", "json_schema": ["name": "x", "schema": schema]])
    }

    @Test("schemas that cost too much are refused in a line that names the limit, and the server goes on")
    func schemas() async throws {
        let server = try await TestServer.shared.value
        let names = (0..<40).map { JSON.string("a\($0)") }
        let recursive = (0..<40).map { JSON.Member("a\($0)", ["$ref": "#/$defs/x"]) }
        let cases: [(JSON, String)] = [
            (
                [
                    "$defs": [
                        "x": [
                            "type": "object", "required": .array(names), "properties": .object(recursive),
                        ]
                    ], "oneOf": [["$ref": "#/$defs/x"], ["$ref": "#/$defs/x"]],
                ], "'oneOf'"
            ),
            (.object((0..<20_000).map { .init("minLength", .int($0)) }), "given twice"),
            (["type": "string", "pattern": "^((.?){900}){900}$"], "more than 20000 states"),
            (["enum": .array((0..<120_000).map { .int($0) })], "more than 100000 values"),
        ]
        for (schema, word) in cases {
            let reply = try await server.chat("Hello", tokens: 4, [Self.format(schema)])
            #expect(reply.status == 400)
            #expect(reply.json["error"]?["message"]?.string?.contains(word) == true, "\(reply.text)")
        }
        var nested: JSON = [:]
        // 31 levels of 255 are compiled by HostileSchemaTests, without the server's limit on time, which a sanitizer reaches.
        for _ in 0..<31 { nested = ["prefixItems": .array(Array(repeating: [:], count: 15) + [nested])] }
        let reply = try await server.chat("Hello", tokens: 4, [Self.format(nested)])
        #expect(reply.status == 200)
        #expect(try await server.chat("Hello").status == 200)
    }

    @Test("prompts that cannot fit are not tokenised")
    func prompts() async throws {
        let server = try await TestServer.shared.value
        let words = String(repeating: "word ", count: 1_000_000)
        let reply = try await server.chat(words)
        #expect(reply.status == 400 && reply.errorCode == "context_length_exceeded")
        #expect(reply.text.contains("bytes"))
    }

    @Test("answers to one schema share a grammar, those to another schema or of another key do not")
    func cache() throws {
        let tokenizer = try #require(try ServedModel.fake().tokenizer)
        let table = TokenTable(tokenizer)
        let cache = GrammarCache(bytes: 1 << 20)
        var made = 0
        func grammar(_ name: String, _ schema: JSON) throws -> CompiledGrammar {
            try cache.grammar(SHA256.hash(data: Data(name.utf8))) { () throws(APIError) in
                made += 1
                do throws(ConstraintError) {
                    return try CompiledGrammar(.schema(JSONSchema(schema)), table: table, endTokens: [0])
                } catch { throw .invalid("\(error)") }
            }
        }
        let first = try grammar("a", ["type": "null"])
        #expect(try grammar("a", ["type": "null"]) === first && made == 1)
        #expect(try grammar("b", ["type": "null"]) !== first && made == 2)
        // Large ones push out those that were used least lately.
        for number in 0..<8 {
            _ = try grammar("large \(number)", ["type": "string", "maxLength": .int(4000 - number)])
            #expect(try grammar("a", ["type": "null"]) === first)
        }
        #expect(cache.count < 10)
        _ = try grammar("large 0", ["type": "null"])
        #expect(made > 10)
    }

    @Test("grammars are told apart by all that they depend on")
    func digests() {
        func digest(
            _ request: ChatRequest, _ tools: [JSON] = [], _ calls: ToolCallFormat? = nil,
            start: AnswerStart = .text
        ) -> SHA256.Digest? {
            let syntax = AnswerSyntax(reasoning: .marks(open: "<t>", close: "</t>"), calls: calls)
            return request.grammarDigest(tools: tools, syntax: syntax, start: start)
        }
        var request = ChatRequest(prompt: .text("x"))
        #expect(digest(request) == nil)
        request.format = .jsonSchema(["type": "null"])
        let first = digest(request)
        #expect(first != nil && first == digest(request))
        request.key = "other"
        #expect(digest(request) != first)
        request.key = ""
        request.format = .jsonObject
        #expect(digest(request) != first)
        request.format = .text
        request.toolChoice = .required
        let tool: JSON = ["function": ["name": "f"]]
        let call = digest(request, [tool], .hermes)
        #expect(call != nil && call != digest(request, [tool], .llama))
        #expect(call != digest(request, [tool, tool], .hermes))
        #expect(call != digest(request, [tool], .hermes, start: .fresh))
    }
}
