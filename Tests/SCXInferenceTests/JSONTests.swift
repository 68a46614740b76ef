import SCXInference
import Testing

@Suite("JSON")
struct JSONTests {
    static let good: [(text: String, value: JSON)] = [
        ("null", .null), (" true ", .bool(true)), ("\t\r\nfalse\n", .bool(false)),
        ("0", .int(0)), ("-0", .int(0)), ("-12", .int(-12)), ("9223372036854775807", .int(.max)),
        ("-9223372036854775807", .int(-.max)), ("9223372036854775808", .double(9_223_372_036_854_775_808)),
        ("1e3", .double(1_000)), ("1.5E-2", .double(0.015)), ("-0.5", .double(-0.5)),
        ("1e999", .double(.infinity)),
        ("Infinity", .double(.infinity)), ("-Infinity", .double(-.infinity)),
        ("\"\"", .string("")), ("\"a\\\"\\\\\\/\\b\\f\\n\\r\\tb\"", .string("a\"\\/\u{8}\u{C}\n\r\tb")),
        ("\"\\u00e9\\u0000\\uD83D\\uDE00\"", .string("é\0😀")),
        ("\"\\uD83D\"", .string("\u{FFFD}")), ("\"\\uDE00x\"", .string("\u{FFFD}x")),
        ("\"\\uD83D\\uD83D\\uDE00\"", .string("\u{FFFD}😀")), ("\"\\uD83D\\n\"", .string("\u{FFFD}\n")),
        ("\"é😀\u{7F}\"", .string("é😀\u{7F}")),
        ("[]", .array([])), ("[ ]", .array([])),
        ("[1,[2] , {}]", .array([.int(1), .array([.int(2)]), .object([])])),
        (
            "{\"b\":1,\"a\":{\"c\":null},\"b\":2}",
            .object([.init("b", .int(1)), .init("a", .object([.init("c", .null)])), .init("b", .int(2))])
        ),
    ]

    @Test("values are read", arguments: good.indices)
    func reads(index: Int) throws {
        #expect(try JSON(parsing: Self.good[index].text) == Self.good[index].value)
    }

    static let bad = [
        "", " ", "nul", "nulll", "tru", "True", "+1", ".5", "-", "--1", "1.2.3", "1e", "1-2", "0x10",
        "-Infinit", "-x",
        "\"", "\"a", "\"\\", "\"\\x\"", "\"\\u12\"", "\"\\u12G4\"", "\"\\uD83D\\u\"", "\"a\nb\"",
        "\"\u{1F}\"",
        "[", "[1", "[1,", "[1,]", "[,1]", "[1 2]", "]", "{", "{\"a\"", "{\"a\":", "{\"a\":1", "{\"a\":1,",
        "{\"a\":1,}",
        "{a:1}", "{1:2}", "{\"a\" 1}", "}", "1 2", "[] []", "\u{FEFF}1", "'a'", "/* */1",
    ]

    @Test("what is no JSON is refused", arguments: bad)
    func refuses(text: String) {
        #expect(throws: JSONError.self) { try JSON(parsing: text) }
    }

    @Test(
        "bytes that are no UTF-8 are refused",
        arguments: [[0xFF], [0xC0, 0x80], [0xED, 0xA0, 0x80], [0xE2, 0x82]])
    func notUTF8(bytes: [UInt8]) {
        for text in [[0x22] + bytes + [0x22], [0x22, 0x5C, 0x6E] + bytes + [0x22], bytes] {
            #expect(throws: JSONError.self) { try JSON(parsing: text.span) }
        }
    }

    @Test("an error says where")
    func offset() throws {
        let error = try #require(throws: JSONError.self) { try JSON(parsing: "[1, x]") }
        #expect(error.offset == 4)
        #expect(error.description == "not valid JSON at byte 4: unexpected character")
    }

    @Test("nesting is bounded")
    func nesting() throws {
        func nested(_ depth: Int) -> String {
            String(repeating: "[", count: depth) + String(repeating: "]", count: depth)
        }
        _ = try JSON(parsing: nested(128))
        #expect(throws: JSONError.self) { try JSON(parsing: nested(129)) }
        #expect(throws: JSONError.self) { try JSON(parsing: String(repeating: "[", count: 1_000_000)) }
        #expect(throws: JSONError.self) { try JSON(parsing: String(repeating: "{\"\":", count: 1_000_000)) }
    }

    @Test("a text cut anywhere is refused, and a damaged one never crashes")
    func truncation() throws {
        let text = #"{"a":[1,-2.5e3,true,null,"x\u00e9\uD83D\uDE00é"],"b":{"c":{},"d":[[]]},"e":"\\"}"#
        var bytes = Array(text.utf8)
        _ = try JSON(parsing: bytes.span)
        for length in bytes.indices {
            #expect(throws: JSONError.self) { try JSON(parsing: bytes.span.extracting(0..<length)) }
        }
        for at in bytes.indices {
            let whole = bytes[at]
            for byte in UInt8.min...UInt8.max {
                bytes[at] = byte
                _ = try? JSON(parsing: bytes.span)
            }
            bytes[at] = whole
        }
    }

    @Test("members and kinds are found")
    func access() throws {
        let json = try JSON(parsing: #"{"a":1,"b":2.0,"c":"x","d":[null],"e":true,"a":3}"#)
        #expect(json["a"]?.int == 3 && json["b"]?.int == 2 && json["a"]?.double == 3)
        #expect(json["c"]?.string == "x" && json["d"]?.array == [.null] && json["e"]?.bool == true)
        #expect(
            json["z"] == nil && json["c"]?["x"] == nil && json["c"]?.int == nil && json["a"]?.string == nil)
        #expect(json.object?.count == 6 && json["d"]?.array?.first?.isNull == true && json["b"]?.bool == nil)
        #expect(JSON.double(.nan).int == nil && JSON.double(1e300).int == nil && JSON.null.array == nil)
    }
}
