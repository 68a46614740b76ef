import Foundation
import SCXInference
import SCXText

/// Reads the project's files from which seeds are made.
package enum FuzzFixtures {
    /// The contents of those files in a folder whose names have this ending; none if the folder does not exist.
    package static func files(_ folder: String, _ ending: String) throws -> [[UInt8]] {
        guard FileManager.default.fileExists(atPath: folder) else { return [] }
        return try FileManager.default.contentsOfDirectory(atPath: folder).sorted().filter {
            $0.hasSuffix(ending)
        }
        .map { [UInt8](try Data(contentsOf: URL(filePath: "\(folder)/\($0)"))) }
    }

    /// The text that a reader of text gets; bytes that are not UTF-8 are replaced, because JSON readers would refuse
    /// them before.
    package static func text(_ input: [UInt8]) -> String { String(decoding: input, as: UTF8.self) }
}

/// Reads JSON texts, the form of every request and of most files.
struct JSONTarget: FuzzTarget {
    let seeds: [[UInt8]]
    let words = [
        "null", "true", "false", "\"\\uD800\"", "\\u0000", "[", "{\"a\":", "1e400", "-0", "\u{FEFF}",
        "\"\\ud83d\\ude00\"",
    ]

    init(_ checkout: String) {
        let files = try? FuzzFixtures.files("\(checkout)/Tests/Fixtures/configs", ".json")
        seeds = (files ?? []) + [Array(#"[{"a": [1, -2.5e-3, "b\n\u00e4", null, true]}, {}]"#.utf8)]
    }

    func run(_ input: [UInt8]) throws {
        let json = try JSON(parsing: input.span)
        // A JSON value that was read can be written and read again.
        do { _ = try JSON(parsing: json.text) } catch { fatalError("what was written is no JSON: \(error)") }
    }
}

/// Draws the first tokens of an answer that must follow a grammar, with the tokenizer of the bundled model.
struct ConstrainedAnswer {
    private let table: TokenTable
    private let endTokens: [Int32]

    init(_ checkout: String) throws {
        table = TokenTable(try Tokenizer(directory: "\(checkout)/Models/ward-3m"))
        endTokens = [1]
    }

    /// Draws up to `tokens` tokens that the grammar allows; it is a finding if none is allowed.
    func draw(_ grammar: Grammar, _ tokens: Int = 12) throws {
        var constraint = try TokenConstraint(grammar, table: table, endTokens: endTokens)
        for step in 0..<tokens where !constraint.isFinal {
            let allowed = constraint.allowed()
            let start = step * 37 % table.vocabularySize
            let order = (0..<table.vocabularySize).lazy.map { Int32((start + $0) % table.vocabularySize) }
            guard let token = order.first(where: { allowed.contains($0) }) else {
                fatalError("no token may follow")
            }
            constraint.accept(token)
        }
    }
}

/// Compiles JSON schemas that answers must follow, and draws tokens by them.
struct SchemaTarget: FuzzTarget {
    private let answer: ConstrainedAnswer
    let seeds: [[UInt8]]
    let words =
        [
            "type", "properties", "required", "items", "prefixItems", "additionalProperties", "enum", "const",
            "anyOf", "oneOf",
            "allOf", "not", "$ref", "$defs", "#/$defs/a", "#", "pattern", "minLength", "maxLength", "minimum",
            "maximum",
            "exclusiveMinimum", "multipleOf", "minItems", "maxItems", "minProperties", "maxProperties",
            "uniqueItems", "format",
            "date-time", "uuid", "object", "array", "string", "integer", "number", "boolean", "null", "if",
            "then", "else",
            "dependentRequired", "patternProperties", "propertyNames", "contains", "unevaluatedProperties",
        ].map { "\"\($0)\"" } + [
            ##"{"$ref": "#"}"##, #"{"type": "object"}"#, #"{"prefixItems": [{},"#, "{}", "[]", ",", ":",
        ]

    init(_ checkout: String) throws {
        answer = try ConstrainedAnswer(checkout)
        seeds = [
            #"{"type":"object","properties":{"a":{"type":"string","minLength":1,"maxLength":9},"b":{"type":"integer","minimum":-5}},"required":["a"],"additionalProperties":false}"#,
            ##"{"$defs":{"x":{"type":"object","required":["a"],"properties":{"a":{"$ref":"#/$defs/x"}}}},"oneOf":[{"$ref":"#/$defs/x"},{"type":"null"}]}"##,
            #"{"type":"array","prefixItems":[{"const":1},{"enum":["a","b",null]}],"items":{"anyOf":[{"type":"number"},{"pattern":"^[a-z]{2,5}$","type":"string"}]},"minItems":1,"maxItems":7}"#,
            #"{"allOf":[{"properties":{"a":{"type":"integer"}}},{"properties":{"a":{"maximum":12}},"required":["a"]}],"type":"object"}"#,
            #"{"type":"string","format":"date-time"}"#,
            #"{"type":"object","additionalProperties":{"type":"boolean"},"minProperties":1,"maxProperties":3}"#,
            #"{"anyOf":[{"type":["string","null"]},{"multipleOf":5,"type":"integer"}],"not":{}}"#,
        ].map { Array($0.utf8) }
    }

    func run(_ input: [UInt8]) throws {
        try answer.draw(.schema(JSONSchema(JSON(parsing: input.span))))
    }
}

/// Compiles regular expressions in schemas, and draws tokens by them.
struct PatternTarget: FuzzTarget {
    private let answer: ConstrainedAnswer
    let seeds: [[UInt8]] = [
        #"^[a-z]{2,5}$"#, #"^(\d{3}-){2}\d{4}$"#, #"a|b*c+?(?:d|e){1,30}"#, #"^(?=a)[^\s\W]\u00e4$"#,
        #"\p{L}+[\p{Nd}_-]*"#,
        #"^((.?){90}){90}$"#, #"(a|aa)+b"#, #"[\x00-\uFFFF]{0,64}"#,
    ].map { Array($0.utf8) }
    let words = [
        "(?:", "(?=", "(?!", "(?<=", "[^", "\\d", "\\w", "\\s", "\\b", "\\p{L}", "{2,5}", "{0,1000}", "*",
        "+?", "|", "^", "$",
        "\\u{1F600}", "\\cA", "\\1", ".", "(((((", "[[", "]",
    ]
    let longest = 1 << 12

    init(_ checkout: String) throws { answer = try ConstrainedAnswer(checkout) }

    func run(_ input: [UInt8]) throws {
        let schema: JSON = ["type": "string", "pattern": .string(FuzzFixtures.text(input))]
        try answer.draw(.schema(JSONSchema(schema)))
    }
}

/// Parses and renders chat templates, which come with models.
struct TemplateTarget: FuzzTarget {
    private let variables: [[JSON.Member]]
    let seeds: [[UInt8]]
    let words = [
        "{% for m in messages %}", "{% endfor %}", "{% if ", "{% elif ", "{% else %}", "{% endif %}",
        "{% set x = ", " %}",
        "{{ ", " }}", "{% macro f(a, b=1) %}", "{% endmacro %}", "{% call f() %}", "{% endcall %}",
        "{% filter upper %}",
        "{% raw %}", "{% endraw %}", "{# ", " #}", "{%- ", " -%}", " | tojson(indent=4)", " | trim",
        " | join(', ')",
        " | replace('a', 'b')", " | selectattr('role', 'equalto', 'user')", "namespace(x=1)", "range(100000)",
        "loop.index0",
        "messages[0]['content']", "x.split('a')", "[::-1]", " is defined", " is mapping", " not in ",
        "raise_exception('x')",
        "strftime_now('%d')", " ~ ", " * 99999", " ** ", " // 0", "{% generation %}", "dict(a=1)",
        "('a' * 1000)",
    ]

    init(_ checkout: String) throws {
        var seeds: [[UInt8]] = []
        var variables: [[JSON.Member]] = []
        for file in try FuzzFixtures.files("\(checkout)/Tests/Fixtures/templates", ".json") {
            let json = try JSON(parsing: file.span)
            guard let template = json["template"]?.string else { continue }
            seeds.append(Array(template.utf8))
            if let run = json["runs"]?.array?.last, case .object(let members)? = run["variables"] {
                variables.append(members)
            }
        }
        (self.seeds, self.variables) = (seeds, variables)
    }

    func run(_ input: [UInt8]) throws {
        let template = try ChatTemplate(source: FuzzFixtures.text(input), name: "template")
        for variables in variables.prefix(2) { _ = try template.render(variables) }
    }
}

/// Reads `tokenizer.json` files, which come with models, and tokenizes texts with them.
struct TokenizerTarget: FuzzTarget {
    private static let text =
        "Der 12-jährige sagte: \u{201E}Hello,\u{00A0}WORLD!\u{201C} e\u{301}\u{AC00}\u{1F468}\u{200D}\u{1F469} \t\n 123456789 x=1;"
    let seeds: [[UInt8]]
    let words = [
        "\"type\":", "\"Sequence\"", "\"Split\"", "\"Replace\"", "\"pattern\":{\"Regex\":\"",
        "\"behavior\":\"Isolated\"",
        "\"invert\":true", "\"NFKC\"", "\"Prepend\"", "\"ByteLevel\"", "\"Metaspace\"", "\"Digits\"",
        "\"Punctuation\"",
        "\"BertNormalizer\"", "\"WordPiece\"", "\"Unigram\"", "\"WordLevel\"", "\"BPE\"",
        "\"TemplateProcessing\"", "\"Fuse\"",
        "\"Strip\"", "\"Precompiled\"", "\"merges\":", "\"vocab\":", "\\\\p{N}{1,3}", "(?i:'s|'t)",
        "(?!\\\\S)", "[^\\\\r\\\\n]*",
    ]
    let longest = 1 << 18

    init(_ checkout: String) throws {
        let folder = "\(checkout)/Tests/Fixtures/tokenizers"
        var seeds: [[UInt8]] = []
        for file in try FuzzFixtures.files(folder, ".json") {
            let json = try JSON(parsing: file.span)
            if json["model"] != nil { seeds.append(file) }
            for entry in json.array ?? [] {
                if let tokenizer = entry["tokenizer"], tokenizer["model"] != nil {
                    seeds.append(Array(tokenizer.text.utf8))
                }
            }
            if let tokenizer = json["tokenizer"], tokenizer["model"] != nil {
                seeds.append(Array(tokenizer.text.utf8))
            }
        }
        // Large vocabularies make each input slow, and find nothing that small ones do not find.
        self.seeds = seeds.filter { $0.count <= 1 << 18 }
    }

    func run(_ input: [UInt8]) throws {
        let tokenizer = try Tokenizer(json: JSON(parsing: input.span), name: "tokenizer.json")
        _ = tokenizer.decode(tokenizer.encode(Self.text))
    }
}

/// Reads answers of models that may contain reasoning and tool calls, in the format of each model family.
struct CallsTarget: FuzzTarget {
    private static let tools: [JSON] = [
        [
            "type": "function",
            "function": [
                "name": "f",
                "parameters": [
                    "type": "object", "properties": ["a": ["type": "string"], "b": ["type": "array"]],
                ],
            ],
        ]
    ]
    let seeds: [[UInt8]] = [
        "<tool_call>\n{\"name\": \"f\", \"arguments\": {\"a\": [1, \"b\"]}}\n</tool_call>",
        "[TOOL_CALLS]f[ARGS]{\"a\": 1}", "[TOOL_CALLS] [{\"name\": \"f\", \"arguments\": {}}]",
        "{\"name\": \"f\", \"parameters\": {\"x\": \"\\u00e4\"}}", "Text <tool_call> no call",
        "<think>why</think><tool_call>\n<function=f>\n<parameter=a>\n1\n</parameter>\n</function>\n</tool_call>",
        "<tool_call>f\n<arg_key>a</arg_key>\n<arg_value>1</arg_value>\n</tool_call>",
        "<|channel|>analysis<|message|>x<|end|><|start|>assistant<|channel|>commentary to=functions.f <|message|>{}<|call|>",
        "[f(a='x', b=[1, 2.5, None, {'k': True}])]",
    ].map { Array($0.utf8) }
    var words: [String] {
        ToolCallFormat.allCases.flatMap { AnswerSyntax(calls: $0).marks }
            + [
                "{\"name\": \"", "\"arguments\": {", "\"parameters\":", "}}", "<think>", "</think>", ", ",
                "\\\"", "f(a=",
                "'''",
            ]
    }

    func run(_ input: [UInt8]) {
        for format in ToolCallFormat.allCases {
            var parser = AnswerParser(AnswerSyntax(calls: format), tools: Self.tools, mostCalls: 4)
            for part in 0..<4 {
                let piece = input[(input.count * part / 4)..<(input.count * (part + 1) / 4)]
                _ = parser.push(FuzzFixtures.text(Array(piece)))
            }
            _ = parser.finish()
        }
    }
}

/// Crashes when an input contains a certain text, so that tests have a finding.
struct PlantedTarget: FuzzTarget {
    let seeds: [[UInt8]] = [Array("mine.field".utf8)]

    func run(_ input: [UInt8]) throws {
        guard !FuzzFixtures.text(input).contains("minefield") else { fatalError("the planted trap") }
    }
}
