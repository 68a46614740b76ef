import Foundation
import SCXInference
import SCXText
import Testing

@Suite("tokenizer files")
struct TokenizerFileTests {
    /// A small byte-level file with one part replaced; `'` stands for `"`.
    private static func file(
        vocab: String = "{'a':0,'b':1,'ab':2}", merges: String = "['a b']", model: String = "",
        parts: String = ""
    ) -> String {
        "{'added_tokens':[],'model':{'type':'BPE',\(model)'vocab':\(vocab),'merges':\(merges)}\(parts)}"
            .replacing("'", with: "\"")
    }

    private static func load(_ text: String, configuration: String = "null") throws -> Tokenizer {
        try Tokenizer(
            json: JSON(parsing: text), name: "tokenizer.json", configuration: JSON(parsing: configuration))
    }

    private static func added(_ id: Int, _ content: String) -> String {
        ",'added_tokens':[{'id':\(id),'content':'\(content)'}]"
    }

    /// A file with a section that repeats a step.
    private static func sequence(_ section: String, _ list: String, _ step: String, _ count: Int) -> String {
        let steps = [String](repeating: step, count: count).joined(separator: ",")
        return file(parts: ",'\(section)':{'type':'Sequence','\(list)':[\(steps)]}")
    }

    private static let addsTooMuch = "the normalizer adds more than 64 bytes to every text"

    static let faults: [(text: String, error: String)] = [
        ("{}", "no 'model'"),
        ("[]", "no 'model'"),
        ("{\"model\":{\"type\":\"Neural\"}}", "unsupported model 'Neural'"),
        ("{\"model\":{\"type\":\"Unigram\"}}", "the model 'Unigram' has no tokens in 'vocab'"),
        (
            "{\"model\":{\"type\":\"Unigram\",\"vocab\":[[\"a\"]]}}",
            "the model 'Unigram' has a token (number 0) that is not a text and a score"
        ),
        (
            "{\"model\":{\"type\":\"Unigram\",\"vocab\":[[\"a\",-1]],\"unk_id\":1}}",
            "the model 'Unigram' has no 'unk_id' that is a token"
        ),
        (
            "{\"model\":{\"type\":\"WordLevel\",\"vocab\":{\"a\":0},\"unk_token\":\"b\"}}",
            "the model 'WordLevel' has an 'unk_token' that is no token"
        ),
        (
            "{\"model\":{\"type\":\"WordPiece\",\"vocab\":{\"a\":0},\"unk_token\":\"a\"}}",
            "the model 'WordPiece' has no 'max_input_chars_per_word' from 0 on"
        ),
        (
            "{\"model\":{\"type\":\"WordPiece\",\"vocab\":{\"\(String(repeating: "a", count: 1025))\":0}}}",
            "the model 'WordPiece' has the token '\(String(repeating: "a", count: 80))…' of more than 1024 bytes"
        ),
        (file(vocab: "{}"), "the model 'BPE' has no tokens in 'vocab'"),
        (file(vocab: "[]"), "the model 'BPE' has no tokens in 'vocab'"),
        (file(vocab: "{'a':-1}"), "the model 'BPE' gives the token 'a' no number from 0 to 4194304"),
        (file(vocab: "{'a':2147483648}"), "the model 'BPE' gives the token 'a' no number from 0 to 4194304"),
        (file(vocab: "{'a':1.5}"), "the model 'BPE' gives the token 'a' no number from 0 to 4194304"),
        (file(vocab: "{'a':'1'}"), "the model 'BPE' gives the token 'a' no number from 0 to 4194304"),
        (file(vocab: "{'a':0,'b':0}"), "the model 'BPE' gives the number 0 to two tokens"),
        (file(vocab: "{'a':0,'a':1}"), "the model 'BPE' has the token 'a' twice"),
        (file(merges: "{}"), "the model 'BPE' has no list 'merges'"),
        (file(merges: "['a']"), "the model 'BPE' has a merge (number 0) that is not two tokens"),
        (file(merges: "['a b','a b a']"), "the model 'BPE' has a merge (number 1) that is not two tokens"),
        (file(merges: "[['a']]"), "the model 'BPE' has a merge (number 0) that is not two tokens"),
        (file(merges: "[3]"), "the model 'BPE' has a merge (number 0) that is not two tokens"),
        (file(merges: "['a c']"), "the model 'BPE' has a merge (number 0) that joins what is no token"),
        (file(merges: "['b a']"), "the model 'BPE' has a merge (number 0) that makes what is no token"),
        (file(model: "'unk_token':'?',"), "the model 'BPE' has an 'unk_token' that is no token"),
        (file(model: "'dropout':0.1,"), "unsupported model 'dropout'"),
        (
            file(model: "'continuing_subword_prefix':'##',"),
            "the model 'BPE' has a merge (number 0) that lacks the 'continuing_subword_prefix'"
        ),
        (file(model: "'fuse_unk':1,"), "the model 'BPE' has a 'fuse_unk' that is neither true nor false"),
        (file(parts: ",'normalizer':{'type':'Cyrillic'}"), "unsupported normalizer 'Cyrillic'"),
        (
            file(parts: ",'normalizer':{'type':'Precompiled','precompiled_charsmap':'AAAA'}"),
            "the normalizer 'Precompiled' has a damaged 'precompiled_charsmap'"
        ),
        (
            file(parts: ",'normalizer':{'type':'Replace','pattern':{'Regex':'a('},'content':''}"),
            "the normalizer 'Replace' has a pattern 'a(' that has a '(' without a ')'"
        ),
        (
            file(parts: ",'normalizer':{'type':'Replace','pattern':'a','content':''}"),
            "the normalizer 'Replace' has a 'pattern' that is neither a 'Regex' nor a 'String'"
        ),
        (
            file(
                parts: ",'normalizer':{'type':'Replace','pattern':{'Regex':'a*'},'content':'"
                    + String(repeating: "x", count: 2000) + "'}"),
            "the normalizer can make a text more than 1024 times longer"
        ),
        (
            sequence("normalizer", "normalizers", "{'type':'Prepend','prepend':'aaaaaaaaaaaaaaaa'}", 5),
            addsTooMuch
        ),
        (
            sequence("normalizer", "normalizers", "{'type':'Prepend','prepend':'a'}", 32).replacing(
                "]}}", with: ",{\"type\":\"Replace\",\"pattern\":{\"String\":\"a\"},\"content\":\"aaa\"}]}}"),
            addsTooMuch
        ),
        (
            sequence("normalizer", "normalizers", "{'type':'Lowercase'}", 65),
            "the normalizer 'Sequence' has more than 64 steps"
        ),
        (
            sequence("pre_tokenizer", "pretokenizers", "{'type':'Metaspace','replacement':'▁'}", 4),
            "the pre_tokenizer can make a text more than 64 times longer"
        ),
        (
            file(
                parts: ",'normalizer':{'type':'Sequence','normalizers':["
                    + [String](
                        repeating: "{'type':'Replace','pattern':{'String':'a'},'content':'aaaaaaaaaa'}",
                        count: 9
                    ).joined(separator: ",") + "]}"),
            "the normalizer can make a text more than 1024 times longer"
        ),
        (file(parts: ",'pre_tokenizer':{'type':'Words'}"), "unsupported pre_tokenizer 'Words'"),
        (
            file(
                parts:
                    ",'pre_tokenizer':{'type':'Split','pattern':{'Regex':'a+'},'behavior':'Alone','invert':false}"
            ),
            "unsupported pre_tokenizer 'Split' with the behavior 'Alone'"
        ),
        (
            file(parts: ",'pre_tokenizer':{'type':'FixedLength','length':0}"),
            "the pre_tokenizer 'FixedLength' has no 'length' above 0"
        ),
        (
            file(parts: ",'pre_tokenizer':{'type':'Sequence'}"),
            "the pre_tokenizer 'Sequence' has no list 'pretokenizers'"
        ),
        (
            file(parts: ",'pre_tokenizer':{'type':'Metaspace','replacement':'__'}"),
            "the pre_tokenizer 'Metaspace' has a 'replacement' of other than one character"
        ),
        (file(parts: ",'decoder':{'type':'Words'}"), "unsupported decoder 'Words'"),
        (
            file(parts: ",'decoder':{'type':'BPEDecoder','suffix':''}"),
            "the decoder 'BPEDecoder' has an empty 'suffix'"
        ),
        (file(parts: ",'decoder':{}"), "the decoder has no text 'type'"),
        (
            file(parts: ",'decoder':{'type':'Strip','content':'a','start':9000000000000000000,'stop':0}"),
            "the decoder 'Strip' has no 'start' between 0 and 1000"
        ),
        (
            file(parts: ",'post_processor':{'type':'BertProcessing','cls':['a',0],'sep':['x',9]}"),
            "the post_processor 'BertProcessing' has no 'sep' that is a token"
        ),
        (
            file(
                parts: """
                    ,'post_processor':{'type':'TemplateProcessing','single':[{'SpecialToken':{'id':'x'}}],\
                    'special_tokens':{'x':{'ids':[77]}}}
                    """),
            "the post_processor 'TemplateProcessing' gives its token 'x' an unknown number"
        ),
        (file(parts: added(7, "x")), "the added token 'x' has the number 7 instead of 3, the next free one"),
        (file(parts: added(1, "a")), "the added token 'a' has the number 1, but 0 in the vocabulary"),
        (
            file(vocab: "{'a':0,'b':2}", merges: "[]", parts: added(2, "x")),
            "the added token 'x' has the number 2 of another token"
        ),
        (
            file(parts: added(3, String(repeating: "x", count: 1025))),
            "the added token has more than 1024 bytes"
        ),
        (file(parts: added(1 << 40, "x")), "the added token 'x' has no number from 0 to 4194304"),
    ]

    @Test("a fault gives one line that names it", arguments: faults.indices)
    func fault(index: Int) throws {
        let (text, expected) = Self.faults[index]
        let error = #expect(throws: TokenizerError.self) { try Self.load(text) }
        #expect(error?.description == "tokenizer.json: " + expected)
    }

    @Test("names in errors stay on one line and short")
    func namesInErrors() throws {
        let text = "{\"normalizer\":{\"type\":\"a\\nb\(String(repeating: "x", count: 300))\"}}"
        let error = try #require(throws: TokenizerError.self) { try Self.load(text) }
        #expect(!error.description.contains("\n") && error.description.utf8.count < 200)
    }

    @Test("a directory without a tokenizer gives one line")
    func noDirectory() {
        #expect(throws: TokenizerError.unreadable(file: "tokenizer.json", reason: "cannot be read")) {
            _ = try Tokenizer(directory: "/nowhere/at/all")
        }
    }

    @Test("a directory's files are read")
    func directory() throws {
        let directory = FileManager.default.temporaryDirectory.appending(path: "scx-\(UUID().uuidString)")
        try FileManager.default.createDirectory(at: directory, withIntermediateDirectories: true)
        defer { try? FileManager.default.removeItem(at: directory) }
        let file = directory.appending(path: "tokenizer.json")
        try Data(TokenizerFixtures.bytes("llama3")).write(to: file)
        let alone = try Tokenizer(directory: directory.path)
        #expect(alone.endOfText == nil && alone.encode("a").first == alone.id(for: "<|begin_of_text|>"))
        let configuration = directory.appending(path: "tokenizer_config.json")
        try Data(#"{"eos_token":"<|eot_id|>"}"#.utf8).write(to: configuration)
        let both = try Tokenizer(directory: directory.path)
        #expect(both.endOfText == both.id(for: "<|eot_id|>"))
        // The file's own path does too, whatever its name.
        let other = directory.appending(path: "other.json")
        try FileManager.default.copyItem(at: file, to: other)
        for path in [directory.path, file.path, other.path] {
            #expect(try Tokenizer(path: path).endOfText == both.endOfText)
        }
        try Data("[".utf8).write(to: other)
        let fault = try #require(throws: TokenizerError.self) { try Tokenizer(path: other.path) }
        #expect(fault.description.hasPrefix("other.json: not valid JSON"))
        try Data("{".utf8).write(to: configuration)
        let error = try #require(throws: TokenizerError.self) { try Tokenizer(directory: directory.path) }
        #expect(error.description == "tokenizer_config.json: not valid JSON at byte 1: a name is missing")
    }

    @Test("the configuration names special tokens and adds them where the file has no template")
    func configuration() throws {
        let text = Self.file(
            parts: """
                ,'added_tokens':[{'id':3,'content':'<s>','special':true,'normalized':false},\
                {'id':4,'content':'</s>','special':true,'normalized':false}]
                """)
        // The first of two equal names would be `file`'s own empty list: the later one counts.
        let configuration = #"{"bos_token":"<s>","eos_token":{"content":"</s>"},"add_bos_token":true}"#
        let tokenizer = try Self.load(text, configuration: configuration)
        #expect(tokenizer.beginOfText == 3 && tokenizer.endOfText == 4)
        #expect(tokenizer.padding == nil && tokenizer.unknown == nil)
        #expect(tokenizer.encode("ab") == [3, 2])
        #expect(tokenizer.encode("ab", addSpecialTokens: false) == [2])
        #expect(tokenizer.vocabularySize == 5)
        #expect(tokenizer.isSpecial(3) && !tokenizer.isSpecial(2) && !tokenizer.isSpecial(-1))
        #expect(tokenizer.token(for: 2) == "ab" && tokenizer.id(for: "<s>") == 3)
        #expect(
            tokenizer.token(for: 5) == nil && tokenizer.token(for: -1) == nil
                && tokenizer.id(for: "zz") == nil)
        #expect(tokenizer.decode([3, 2, 99, -7, 1, 4]) == "ab b")
    }

    @Test("a word of 200,000 letters takes no quadratic time")
    func longWord() throws {
        let tokenizer = try TokenizerFixtures.tokenizer("llama3")
        let count = 200_000
        let ids = tokenizer.encode(String(repeating: "ab", count: count / 2), addSpecialTokens: false)
        #expect(tokenizer.decode(ids).utf8.count == count)
    }

    @Test("damaged files are refused or work, and nothing crashes", arguments: ["llama3", "llama2", "added"])
    func damaged(family: String) throws {
        var bytes = try TokenizerFixtures.bytes(family)
        var generator = Generator(state: 41)
        for _ in 0..<60 {
            let at = Int.random(in: bytes.indices, using: &generator)
            let whole = bytes[at]
            bytes[at] ^= 1 << UInt8.random(in: 0..<8, using: &generator)
            tryToUse(bytes.span)
            bytes[at] = whole
            tryToUse(bytes.span.extracting(0..<at))
        }
    }

    @Test("files with parts exchanged are refused or work, and nothing crashes")
    func exchangedParts() throws {
        var generator = Generator(state: 43)
        let families = try ["llama3", "llama2", "mistral", "metaspace", "added"].map {
            try TokenizerFixtures.json($0)
        }
        let models = try #require(try StepFixtures.models.get().array).compactMap { $0["tokenizer"] }
        for file in families + models {
            for _ in 0..<40 {
                let damaged = exchange(file, chance: 12, &generator)
                guard let tokenizer = try? Tokenizer(json: damaged, name: "damaged") else { continue }
                use(tokenizer)
            }
        }
    }

    private func tryToUse(_ bytes: Span<UInt8>) {
        guard let json = try? JSON(parsing: bytes),
            let tokenizer = try? Tokenizer(json: json, name: "damaged")
        else {
            return
        }
        use(tokenizer)
    }

    private func use(_ tokenizer: Tokenizer) {
        let ids = tokenizer.encode("a  b\n1234 \u{FFFD}é\u{301}<s> don't <mask> ▁x")
        _ = tokenizer.decode(ids)
        _ = tokenizer.decode([-1, 0, 5, 300, Int32.max, Int32.min])
    }

    /// Replaces about one value in `chance` outside of the vocabulary by another kind of value.
    private func exchange(_ json: JSON, chance: Int, _ generator: inout Generator) -> JSON {
        let others: [JSON] = [
            .null, .int(-1), .int(1 << 40), .string(""), .string("a"), .array([]), .object([]), .bool(true),
            .double(0.5),
        ]
        if Int.random(in: 0..<chance, using: &generator) == 0 {
            return others[Int.random(in: others.indices, using: &generator)]
        }
        switch json {
        case .object(let members) where members.count < 100:
            return .object(
                members.map { JSON.Member($0.name, exchange($0.value, chance: chance * 2, &generator)) })
        case .array(let values) where values.count < 100:
            return .array(values.map { exchange($0, chance: chance * 2, &generator) })
        default: return json
        }
    }
}

/// Random numbers that are the same in every run (SplitMix64).
struct Generator: RandomNumberGenerator {
    var state: UInt64

    mutating func next() -> UInt64 {
        state &+= 0x9E37_79B9_7F4A_7C15
        var mixed = state
        mixed = (mixed ^ mixed >> 30) &* 0xBF58_476D_1CE4_E5B9
        mixed = (mixed ^ mixed >> 27) &* 0x94D0_49BB_1331_11EB
        return mixed ^ mixed >> 31
    }
}
