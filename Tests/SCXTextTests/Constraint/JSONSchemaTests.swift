import SCXInference
import SCXText
import Testing

@Suite("JSON Schema")
struct JSONSchemaTests {
    /// A schema with texts that fit and texts that do not; `'` stands for `"`.
    struct Case: Sendable, CustomTestStringConvertible {
        let schema: String
        let valid: [String]
        let invalid: [String]
        var testDescription: String { schema }

        init(_ schema: String, _ valid: [String], _ invalid: [String]) {
            (self.schema, self.valid, self.invalid) = (schema, valid, invalid)
        }
    }

    static let cases: [Case] = [
        Case("{'type':'null'}", ["null"], ["nul", "0", "'null'", "nulll"]),
        Case("{'type':'boolean'}", ["true", "false"], ["True", "1", "null"]),
        Case(
            "{'type':'string'}",
            ["''", "'a b'", "'\\n\\\\\\/'", "'\\u00e9\\uD83D\\ude00'", "'ünïcödé 漢字 😀'"],
            ["a", "'a", "'\n'", "'\\x'", "'\\ud83d'", "'\\ude00'", "'\\ud83d\\u0041'", "'a' ", " 'a'"]),
        Case(
            "{'type':'integer'}", ["0", "-7", "123456789012345678"],
            ["01", "-", "1.0", "1e3", "+1", "", "1234567890123456789"]),
        Case(
            "{'type':'number'}", ["0", "-0.5", "3.25e-7", "1E+9", "12"],
            [".5", "1.", "1e", "1e400", "--1", "0x1", "NaN", "1.e3"]),
        Case(
            "{'type':['string','null','integer']}", ["'x'", "null", "4"], ["true", "1.5", "{}"]),
        Case(
            "{'type':'object','properties':{'a':{'type':'integer'},'b':{'type':'string'}},'required':['a','b'],"
                + "'additionalProperties':false}",
            [
                "{'a':1,'b':'x'}", "{'a': 1, 'b': 'x'}", "{\n  'a': 1,\n  'b': 'x'\n}", "{ 'a':1,'b':'' }",
            ],
            [
                "{'b':'x','a':1}", "{'a':1}", "{}", "{'a':1,'b':'x',}", "{'a':1,'b':'x','c':2}",
                "{'a':1 ,'b':'x'}",
                "{'a':  1,'b':'x'}", "{'a':'1','b':'x'}", "{\n\n'a':1,'b':'x'}",
            ]),
        Case(
            "{'type':'object','properties':{'a':{'type':'null'},'b':{'type':'null'},'c':{'type':'null'}},"
                + "'required':['b']}",
            ["{'b':null}", "{'a':null,'b':null}", "{'b':null,'c':null}", "{'a':null,'b':null,'c':null}"],
            [
                "{}", "{'a':null}", "{,'b':null}", "{'c':null,'b':null}", "{'b':null,'b':null}",
                "{'a':null,'c':null}",
            ]
        ),
        Case(
            "{'properties':{'a':{'type':'null'},'b':{'type':'null'}}}",
            ["{}", "{'a':null}", "{'b':null}", "{'a':null,'b':null}"],
            ["null", "{'b':null,'a':null}", "{ ,}"]),
        Case(
            "{'type':'object','properties':{'ab':{'type':'integer'}},'additionalProperties':{'type':'string'}}",
            ["{}", "{'ab':1}", "{'ab':1,'abc':'x'}", "{'a':'x','b':'y'}", "{'ac':'', 'é':''}"],
            ["{'ab':'x'}", "{'a':1}", "{'':'x'}", "{'a\\u0062':'x'}", "{'abc':1}", "{'a':'x','ab':1}"]),
        Case(
            "{'type':'object','properties':{'a':{'const':1}},'additionalProperties':true}",
            ["{}", "{'a':1,'b':[{}]}", "{'b':{'a':2}}"], ["{'a':2}", "{'a':1,'a':2}"]),
        Case("{'type':'object'}", ["{}", "{'':1}", "{'a':{'b':[]}}"], ["[]", "{'a'}", "{1:2}"]),
        Case(
            "{'type':'object','required':['x']}", ["{'x':1}", "{'x':[],'y':2}"], ["{}", "{'y':2}"]),
        Case(
            "{'type':'object','properties':{'a':{}},'required':['z']}", ["{'z':1}", "{'a':0,'z':1}"],
            ["{'a':0}"]),
        Case(
            "{'type':'array','items':{'type':'integer'}}",
            ["[]", "[1]", "[1,2, 3]", "[\n  1,\n  2\n]", "[ 1 ]"],
            ["[1,]", "[,1]", "['a']", "[1 2]", "[1", "[  1]"]),
        Case(
            "{'type':'array','items':{'type':'null'},'minItems':2,'maxItems':3}",
            ["[null,null]", "[null,null,null]"], ["[]", "[null]", "[null,null,null,null]"]),
        Case("{'type':'array','maxItems':0}", ["[]", "[ ]"], ["[1]"]),
        Case("{'type':'array','maxItems':1,'items':{'type':'null'}}", ["[]", "[null]"], ["[null,null]"]),
        Case(
            "{'type':'array','prefixItems':[{'type':'integer'},{'type':'string'}],'items':{'type':'null'},"
                + "'minItems':1}",
            ["[1]", "[1,'a']", "[1,'a',null,null]"], ["[]", "['a']", "[1,2]", "[1,null]", "[1,'a',3]"]),
        Case(
            "{'type':'array','prefixItems':[{'type':'integer'},{'type':'string'}],'items':false,'minItems':2}",
            ["[1,'a']", "[1, 'a' ]"], ["[1]", "[1,'a',null]", "[]"]),
        Case(
            "{'enum':['a','ab','b c',1,null,2.5]}", ["'a'", "'ab'", "'b c'", "1", "null", "2.5"],
            ["'abc'", "2", "a"]),
        Case("{'type':'string','enum':['a',1]}", ["'a'"], ["1"]),
        Case(
            "{'enum':['x\\'y','\\n','é']}".replacing("\\'", with: "\\\""), ["'x\\\"y'", "'\\n'", "'é'"],
            ["'xy'"]),
        Case(
            "{'const':{'a':[1,{'b':null}]}}", ["{'a':[1,{'b':null}]}", "{'a': [1, {'b': null}]}"],
            ["{'a':[1]}"]),
        Case("{'const':[]}", ["[]"], ["[ ]", "[1]"]),
        Case(
            "{'anyOf':[{'type':'integer'},{'type':'object','properties':{'a':{'type':'null'}},'required':['a']},"
                + "{'type':'object','properties':{'ab':{'type':'null'}},'required':['ab']}]}",
            ["1", "{'a':null}", "{'ab':null}"], ["{}", "{'a':null,'ab':null}", "{'b':null}"]),
        Case(
            "{'oneOf':[{'type':'object','properties':{'k':{'const':'x'},'v':{'type':'integer'}},'required':['k','v']},"
                + "{'type':'object','properties':{'k':{'const':'y'}},'required':['k']}]}",
            ["{'k':'x','v':3}", "{'k':'y'}"], ["{'k':'x'}", "{'k':'y','v':3}", "{'k':'z'}"]),
        Case(
            "{'oneOf':[{'type':'string'},{'type':'integer'},{'const':null}]}", ["'a'", "3", "null"], ["3.5"]),
        Case(
            "{'type':'object','properties':{'a':{'type':'integer'},'b':{'type':'integer'}},"
                + "'anyOf':[{'required':['a']},{'required':['b']}]}",
            ["{'a':1}", "{'b':1}", "{'a':1,'b':2}"], ["{}"]),
        Case(
            "{'allOf':[{'type':'object','properties':{'a':{'type':'integer'}},'required':['a']},"
                + "{'properties':{'b':{'type':'string'}},'required':['b']}]}",
            ["{'a':1,'b':'x'}"], ["{'a':1}", "{'b':'x'}"]),
        Case(
            "{'allOf':[{'type':'number','minimum':2},{'type':'integer','maximum':4}]}", ["2", "4"],
            ["1", "5", "2.5"]),
        Case("{'allOf':[{'$ref':'#/$defs/a'}],'$defs':{'a':{'type':'null'}}}", ["null"], ["0"]),
        Case(
            "{'$ref':'#/$defs/a','minLength':2,'$defs':{'a':{'type':'string','maxLength':3}}}",
            ["'ab'", "'abc'"],
            ["'a'", "'abcd'"]),
        Case(
            "{'$defs':{'n/~':{'type':'object','properties':{'v':{'type':'integer'},"
                + "'next':{'anyOf':[{'$ref':'#/$defs/n~1~0'},{'type':'null'}]}},'required':['v','next']}},"
                + "'$ref':'#/$defs/n~1~0'}",
            ["{'v':1,'next':null}", "{'v':1,'next':{'v':2,'next':{'v':3,'next':null}}}"],
            ["{'v':1}", "{'v':1,'next':{}}", "{'v':1,'next':{'v':2,'next':null}"]),
        Case(
            "{'type':'object','properties':{'children':{'type':'array','items':{'$ref':'#'}}}}",
            ["{}", "{'children':[{},{'children':[]}]}"], ["{'children':[1]}", "{'children':{}}"]),
        Case(
            "{'type':'string','minLength':2,'maxLength':3}", ["'ab'", "'漢字'", "'a\\n😀'"],
            ["'a'", "'abcd'", "'漢'"]),
        Case("{'type':'string','maxLength':0}", ["''"], ["'a'"]),
        Case(
            "{'type':'string','pattern':'^[A-Z]{2,3}-\\\\d+$'}", ["'AB-1'", "'ABC-123'"],
            ["'A-1'", "'AB-'", "'AB-1x'"]),
        Case("{'type':'string','pattern':'b|^c'}", ["'b'", "'abc'", "'cx'"], ["'xc'", "''"]),
        Case(
            "{'type':'string','pattern':'^(a|b.)*?[^x-z]$'}", ["'q'", "'abbé'", "'b\\\"😀'"],
            ["'x'", "'a\\u0062'"]),
        Case(
            "{'type':'string','pattern':'^\\\\S\\\\t\\\\\\\\$'}", ["'a\\t\\\\'"], ["' \\t\\\\'", "'a\t\\\\'"]),
        Case("{'type':'string','format':'date'}", ["'2024-02-29'"], ["'2024-13-01'", "'24-01-01'", "''"]),
        Case(
            "{'type':'string','format':'date-time'}",
            ["'2024-02-29T23:59:00Z'", "'2024-02-29T01:00:00.5+02:00'"],
            ["'2024-02-29'", "'2024-02-29T24:00:00Z'"]),
        Case(
            "{'type':'string','format':'uuid'}", ["'123e4567-e89b-12d3-a456-426614174000'"],
            ["'123e4567'", "'x'"]),
        Case("{'type':'string','format':'unheard-of'}", ["'x'"], ["1"]),
        Case(
            "{'type':'integer','minimum':-12,'maximum':105}", ["-12", "-9", "0", "99", "105"],
            ["-13", "106", "110", "1000"]),
        Case(
            "{'type':'integer','exclusiveMinimum':0,'exclusiveMaximum':3}", ["1", "2"], ["0", "-1", "3", "-"]),
        Case("{'type':'integer','minimum':1995}", ["1995", "2000", "31415"], ["1994", "999", "-2000"]),
        Case("{'type':'integer','maximum':-3.5}", ["-4", "-100"], ["-3", "0", "4"]),
        Case(
            "{'type':'number','minimum':0,'maximum':1}", ["0", "0.5", "1", "1.0", "0.999"],
            ["1.01", "-0.1", "2", "1e1"]),
        Case(
            "{'type':'number','exclusiveMinimum':-1.5,'maximum':12.25}",
            ["-1.49", "-1", "0", "12.25", "12.2", "7.9", "12.250"], ["-1.5", "-2", "12.26", "12.2501", "13"]),
        Case("{'type':'number','exclusiveMinimum':0}", ["0.001", "1", "250"], ["0", "0.0", "-1", "-0"]),
        Case(
            "{'type':'number','minimum':1e-3,'maximum':1.5e2}", ["0.001", "0.01", "150", "149.9"],
            ["0.0009", "151", "0"]),
        Case("true", ["1", "'a'", "[{},[]]", "{'a':null}"], ["", "[", "tru"]),
        Case("{'title':'t','description':'d','default':1,'x-y':{'not':1}}", ["[1]", "null"], ["nothing"]),
        Case(
            "{'type':'array','items':[{'type':'null'}],'additionalItems':false}", ["[]", "[null]"],
            ["[1]", "[null,1]"]),
        Case("{'type':'object','properties':{'a':false,'b':{}}}", ["{'b':1}", "{}"], ["{'a':1}"]),
        Case("{'anyOf':[false,{'type':'null'}]}", ["null"], ["0"]),
        Case("{'type':'object','properties':{'a':{'not':{}},'b':{}}}", ["{'b':1}", "{}"], ["{'a':1}"]),
        Case("{'type':'null','not':false}", ["null"], ["0"]),
    ]

    @Test("texts that fit are allowed byte by byte, others are not", arguments: cases)
    func acceptance(row: Case) throws {
        let constraint = try ByteTokens.constraint(row.schema)
        let validator = SchemaValidator(try JSON(parsing: row.schema.quoted))
        for text in row.valid.map(\.quoted) {
            #expect(ByteTokens.accepts(text.utf8, constraint), "\(text)")
            let value = try JSON(parsing: text)
            #expect(row.schema.contains("items':[") || validator.holds(value), "\(text)")
        }
        for text in row.invalid.map(\.quoted) {
            #expect(!ByteTokens.accepts(text.utf8, constraint), "\(text)")
        }
    }

    static let faults: [(schema: String, error: String)] = [
        ("1", "the schema at '#' is neither an object nor a truth value"),
        ("{'type':'any'}", "the schema's 'type' at '#' names an unknown type"),
        (
            "{'properties':{'a/b':{'not':{'type':'null'}}}}",
            "the schema's 'not' at '#/properties/a~1b' is not supported"
        ),
        ("{'not':{}}", "no text can satisfy the schema"),
        ("{'items':{'multipleOf':2}}", "the schema's 'multipleOf' at '#/items' is not supported"),
        ("{'uniqueItems':true}", "the schema's 'uniqueItems' at '#' is not supported"),
        ("{'patternProperties':{}}", "the schema's 'patternProperties' at '#' is not supported"),
        ("{'$ref':'#/nowhere'}", "the schema's '$ref' at '#' names nothing in this schema"),
        ("{'$ref':'http://x'}", "the schema's '$ref' at '#' is no pointer into this schema ('#/…')"),
        ("{'anyOf':[]}", "the schema's 'anyOf' at '#' is no list of schemas"),
        (
            "{'oneOf':[{'type':'integer'},{'type':'number'}]}",
            "the schema's 'oneOf' at '#' has schemas that one value might fit together; 'anyOf' would do"
        ),
        ("{'enum':[]}", "the schema's 'enum' at '#' is no list of values"),
        (
            "{'enum':['a'],'minLength':1}",
            "the schema's 'minLength' at '#' is not supported beside 'enum' or 'const'"
        ),
        ("{'minLength':-1}", "the schema's 'minLength' at '#' is no whole number from 0"),
        ("{'minItems':5000}", "the schema's 'minItems' at '#' is above 4096"),
        ("{'minimum':'1'}", "the schema's 'minimum' at '#' is no number"),
        (
            "{'minProperties':2}",
            "the schema's 'minProperties' at '#' is not supported above the number of required properties"
        ),
        ("{'required':[1]}", "the schema's 'required' at '#' is no list of names"),
        (
            "{'pattern':'(?=a)'}",
            "the schema's 'pattern' at '#' has a special group after 2 characters, which is not supported"
        ),
        (
            "{'pattern':'a**'}",
            "the schema's 'pattern' at '#' has a repetition of a repetition after 2 characters, which is not supported"
        ),
        (
            "{'pattern':'(a'}",
            "the schema's 'pattern' at '#' has an open group after 2 characters, which is not supported"
        ),
        (
            "{'pattern':'a','maxLength':2}",
            "the schema's 'pattern' at '#' is not supported beside 'minLength' or 'maxLength'"
        ),
        (
            "{'$ref':'#','minLength':1}",
            "the schema at '#' is nested too deep, or refers to itself without end"
        ),
        ("false", "no text can satisfy the schema"),
        ("{'$ref':'#'}", "no text can satisfy the schema"),
        ("{'properties':{'a':{'$ref':'#'}},'required':['a']}", "no text can satisfy the schema"),
        ("{'type':'string','minLength':3,'maxLength':2}", "no text can satisfy the schema"),
        ("{'type':'integer','minimum':3,'maximum':2}", "no text can satisfy the schema"),
        ("{'allOf':[{'type':'string'},{'type':'null'}]}", "no text can satisfy the schema"),
    ]

    @Test("a schema that cannot be held to gives one line that names the fault", arguments: faults.indices)
    func fault(index: Int) {
        let (schema, expected) = Self.faults[index]
        let error = #expect(throws: ConstraintError.self) { try ByteTokens.constraint(schema) }
        #expect(error?.description == expected)
    }

    @Test("ways to read a text that double with each level are read together")
    func doubling() throws {
        let doubling =
            "{'anyOf':[{'type':'array','items':{'$ref':'#'}},{'type':'array','items':{'$ref':'#'}}]}"
        let constraint = try ByteTokens.constraint(doubling)
        #expect(ByteTokens.accepts("[[[[[[[[[[[[[[[[[[[[]]]]]]]]]]]]]]]]]]]]".utf8, constraint))
    }

    @Test("damaged schemas are refused or work, and nothing crashes")
    func damaged() throws {
        var generator = Generator(state: 5)
        let others: [JSON] = [
            .null, .int(-1), .int(.max), .int(.min), .double(1e300), .double(-1e-300), .double(.nan),
            .string(""),
            .string("#"), .array([]), .array([.string("a")]), .object([]), .bool(true), .bool(false),
        ]
        func exchanged(_ json: JSON) -> JSON {
            if Int.random(in: 0..<12, using: &generator) == 0 {
                return others[Int.random(in: others.indices, using: &generator)]
            }
            switch json {
            case .object(let members):
                return .object(members.map { JSON.Member($0.name, exchanged($0.value)) })
            case .array(let values): return .array(values.map(exchanged))
            default: return json
            }
        }
        for row in Self.cases {
            let schema = try JSON(parsing: row.schema.quoted)
            for _ in 0..<6 {
                guard let schema = try? JSONSchema(exchanged(schema)),
                    var constraint = try? ByteTokens.constraint(.schema(schema))
                else { continue }
                for byte in row.valid[0].quoted.utf8 where constraint.allowed().contains(Int32(byte)) {
                    constraint.accept(Int32(byte))
                }
                #expect(!constraint.isStuck && !constraint.allowed().isEmpty)
            }
        }
    }

    @Test("damaged regular expressions are refused or work, and nothing crashes")
    func damagedExpressions() throws {
        var generator = Generator(state: 9)
        let pieces = [
            "a", "[", "]", "^", "$", "(", ")", "|", "*", "+", "?", "{2}", "{1,", "}", "\\", "d", "-", ".",
            "\\u00", "é",
            "(?:", "[^", "\\w", "{0}", "{999}",
        ]
        for _ in 0..<600 {
            let count = Int.random(in: 1...7, using: &generator)
            let text = (0..<count).map { _ in pieces[Int.random(in: pieces.indices, using: &generator)] }
                .joined()
            guard let schema = try? JSONSchema(["type": "string", "pattern": .string(text)]) else { continue }
            _ = try? ByteTokens.constraint(.schema(schema))
        }
    }
}
