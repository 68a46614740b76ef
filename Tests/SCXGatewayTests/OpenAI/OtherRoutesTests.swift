import SCXGateway
import SCXInference
import SCXProfiles
import SCXText
import Testing

@Suite("models, embeddings, tokens and the OpenAPI document")
struct OtherRoutesTests {
    func fake(template: String? = "{% for m in messages %}<{{ m.role }}>{{ m.content }}{% endfor %}") throws
        -> FakeAnswering
    {
        FakeAnswering(model: try .fake(template: template)) { _ in FakeAnswering.Script() }
    }

    // MARK: Models

    @Test("the model is listed, and once more for each further profile")
    func models() async throws {
        guard case .json(let json, _) = try await Models.list(asking("{}"), fake()) else { return }
        let models = json["data"]?.array ?? []
        #expect(json["object"] == "list")
        #expect(models.map { $0["id"]?.string } == ["tiny", "tiny:scx"])
        let first = try #require(models.first)
        #expect(first["object"] == "model" && first["owned_by"] == "scx" && first["max_model_len"] == 256)
        #expect(first["created"]?.int != nil)
        #expect(first["scx"]?["profile"] == "plain")
        #expect(first["scx"]?["not_protected"]?.string == ProfileFacts.named("plain").line)
        let profiles = first["scx"]?["profiles"]?.array ?? []
        #expect(profiles.map { $0["name"]?.string } == ["plain", "scx"])
        for profile in profiles {
            let facts = ProfileFacts.named(profile["name"]?.string ?? "")
            #expect(profile["worker_sees"]?.string == facts.sees && profile["warning"]?.string == facts.line)
            #expect(profile["hides"]?.string == facts.hides && profile["leaks"]?.string == facts.leaks)
        }
    }

    @Test(
        "one model is found by its name, also with a profile", arguments: ["tiny", "tiny:scx", "tiny:plain"])
    func model(_ name: String) async throws {
        guard case .json(let json, _) = try await Models.one(asking("{}", name: name), fake()) else { return }
        #expect(json["id"]?.string == name)
    }

    @Test("another model is not found")
    func otherModel() async throws {
        let request = try asking("{}", name: "gpt-4")
        let answering = try fake()
        let error = await #expect(throws: APIError.self) { try await Models.one(request, answering) }
        #expect(error?.status == 404 && error?.code == "model_not_found")
    }

    // MARK: Embeddings

    @Test("texts and tokens become vectors, as numbers or as their bytes")
    func embeddings() async throws {
        let numbers = try whole(
            try await Embeddings.reply(asking(#"{"input":["ab","c"]}"#, profile: "scx"), fake()))
        let expected =
            #"{"object":"list","data":[{"object":"embedding","index":0,"embedding":[1.0,-0.5]},"#
            + #"{"object":"embedding","index":1,"embedding":[1.0,-0.5]}],"model":"tiny","#
            + #""usage":{"prompt_tokens":3,"total_tokens":3}}"#
        #expect(numbers.json.text == expected)
        #expect(numbers.headers == [APIHeader("x-scx-profile", "scx")])
        let bytes = try whole(
            try await Embeddings.reply(asking(#"{"input":[4,5],"encoding_format":"base64"}"#), fake()))
        let unit = try whole(
            try await Embeddings.reply(asking(#"{"input":["ab"],"normalize":true}"#), fake()))
        let values = unit.json["data"]?.array?.first?["embedding"]?.array?.compactMap(\.double) ?? []
        #expect(values.count == 2 && abs(values.reduce(0) { $0 + $1 * $1 } - 1) < 1e-6)
        // 0.25 is 0000803e and 2 is 00000040, lowest byte first.
        #expect(bytes.json["data"]?.array?.first?["embedding"] == "AACAPgAAAEA=")
    }

    @Test(
        "a wrong field is refused by name",
        arguments: [
            ("{}", "input"), (#"{"messages":[]}"#, "messages"),
            (#"{"input":"a","truncate_prompt_tokens":0}"#, "truncate_prompt_tokens"),
            (#"{"input":"a","prompt_name":"query","prompt":"q: "}"#, "prompt_name"),
            (#"{"input":"a","add_special_tokens":false}"#, "add_special_tokens"),
            (#"{"input":"a","embed_dtype":"float16"}"#, "embed_dtype"),
            (#"{"input":"a","endianness":"big"}"#, "endianness"),
            (#"{"input":[]}"#, "input"), (#"{"input":[-1]}"#, "input[0]"),
            (#"{"input":"a","encoding_format":"hex"}"#, "encoding_format"),
            (#"{"input":"a","dimensions":0}"#, "dimensions"),
            (#"{"input":"a","dimensions":33}"#, "dimensions"), (#"{"input":"a","user":1}"#, "user"),
            (#"{"input":"a","model":"x"}"#, "model"),
        ])
    func wrongEmbeddings(_ body: String, _ param: String) async throws {
        #expect(try await fault(body, Embeddings.reply, fake())?.param == param)
    }

    // MARK: Tokens

    @Test("a text and a conversation become tokens, and tokens a text")
    func tokens() async throws {
        let answering = try fake()
        let tokenizer = try answering.model.requireTokenizer()
        func tokenize(_ body: String) async throws -> JSON {
            try whole(try await Tokenization.tokenize(asking(body), answering)).json
        }
        let reply = try await tokenize(#"{"prompt":"ab c","return_token_strs":true}"#)
        let ids = tokenizer.encode("ab c")
        #expect(reply["count"]?.int == ids.count)
        #expect(reply["max_model_len"] == 256)
        #expect(reply["tokens"] == .array(ids.map { .int(Int($0)) }))
        #expect(reply["token_strs"] == .array(ids.map { .string(tokenizer.token(for: $0) ?? "") }))
        let conversation = try await tokenize(#"{"messages":[{"role":"user","content":"Hi"}]}"#)
        let picture =
            #"{"messages":[{"role":"user","content":[{"type":"image_url","image_url":{"url":"data:,"}}]}]}"#
        #expect(try await fault(picture, Tokenization.tokenize, fake())?.param == "messages")
        let written = tokenizer.encode("<user>Hi", addSpecialTokens: false)
        #expect(conversation["tokens"] == .array(written.map { .int(Int($0)) }))
        #expect(conversation["token_strs"] == JSON.null)
        let list = JSON.array(ids.map { .int(Int($0)) }).text
        let text = try whole(try await Tokenization.detokenize(asking(#"{"tokens":\#(list)}"#), answering))
        #expect(text.json == ["prompt": "ab c"])
        let none = try whole(try await Tokenization.detokenize(asking(#"{"tokens":[]}"#), answering))
        #expect(none.json == ["prompt": ""])
    }

    @Test("wrong fields, a template that refuses and a missing tokenizer are clear errors")
    func wrongTokens() async throws {
        #expect(try await fault("{}", Tokenization.tokenize, fake())?.param == "prompt")
        #expect(try await fault(#"{"prompt":1}"#, Tokenization.tokenize, fake())?.param == "prompt")
        #expect(try await fault("{}", Tokenization.detokenize, fake())?.param == "tokens")
        #expect(
            try await fault(#"{"tokens":[1,"a"]}"#, Tokenization.detokenize, fake())?.param == "tokens[1]")
        let refusing = try fake(template: "{{ raise_exception('secret') }}")
        let body = #"{"messages":[{"role":"user","content":"Hi"}]}"#
        let error = try await fault(body, Tokenization.tokenize, refusing)
        #expect(error?.param == "messages" && error?.message.contains("secret") == false)
        #expect(
            try await fault(body, Tokenization.tokenize, fake(template: nil))?.code == "no_chat_template")
        let bare = FakeAnswering(model: try .fake(tokenizer: nil)) { _ in FakeAnswering.Script() }
        #expect(try await fault(#"{"prompt":"a"}"#, Tokenization.tokenize, bare)?.code == "no_tokenizer")
    }

    // MARK: OpenAPI

    @Test("the document names every endpoint, and every schema that it refers to is there")
    func document() throws {
        let paths = OpenAPI.document["paths"]?.object?.map(\.name) ?? []
        for path in [
            "/v1/chat/completions", "/v1/completions", "/v1/responses", "/v1/models", "/v1/models/{id}",
            "/v1/embeddings", "/rerank", "/v1/rerank", "/v2/rerank", "/tokenize", "/detokenize", "/health",
            "/version", "/metrics",
            "/openapi.json", "/v1/messages", "/v1/messages/count_tokens",
        ] { #expect(paths.contains(path), "\(path)") }
        #expect(OpenAPI.document["openapi"] == "3.1.0")
        let schemas = OpenAPI.document["components"]?["schemas"]?.object?.map(\.name) ?? []
        #expect(Set(schemas).count == schemas.count)
        let text = OpenAPI.document.text
        let named = text.split(separator: "#/components/schemas/").dropFirst().compactMap {
            $0.split(separator: "\"").first.map(String.init)
        }
        #expect(Set(named) == Set(schemas))
        #expect(try JSON(parsing: text) == OpenAPI.document)
    }
}
