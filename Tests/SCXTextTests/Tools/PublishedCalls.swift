import SCXInference
import SCXText

/// Calls as the templates of some families write them, or as the parsers of vLLM, SGLang and mlx-lm read them.
struct PublishedCalls {
    typealias Case = AnswerParserTests.Case

    let text = "a <b> & \"c\"\nd"
    let nested = "{\"k\": \"v\", \"n\": 1.5}"
    let list = "[\"x\", \"y\"]"
    /// What MiniMax M3 writes before each tag.
    let mark = "]<]minimax[>["

    /// The arguments of most of the calls.
    var arguments: String {
        "{\"s\": \(JSON.string(text).text), \"i\": 3, \"b\": true, \"l\": \(list), \"o\": \(nested)}"
    }

    /// Only the text among the arguments.
    var onlyText: String { "{\"s\": \(JSON.string(text).text)}" }

    var cases: [Case] { kimi + miniMax + gemma + lines + objects + markup }

    // MARK: Kimi K3

    private func argument(_ key: String, _ type: String, _ value: String) -> String {
        "<|open|>argument key=\"\(key)\" type=\"\(type)\"<|sep|>\(value)<|close|>argument<|sep|>"
    }

    private var kimi: [Case] {
        let both = [
            "Hi.<|open|>tools<|sep|><|open|>call tool=\"f\" index=\"1\"<|sep|>",
            argument("s", "string", text),
            argument("i", "number", "3"), argument("b", "boolean", "true"), argument("l", "array", list),
            argument("o", "object", nested), "<|close|>call<|sep|>",
            "<|open|>call tool=\"g\" index=\"2\"<|sep|><|close|>call<|sep|><|close|>tools<|sep|>",
        ].joined()
        let escaped = [
            "<|open|>tools<|sep|><|open|>call tool=\"a&amp;b\" index=\"1\"<|sep|>",
            argument("x&quot;y", "string", "7"), argument("i", "null", "null"), "<|close|>call<|sep|>",
        ].joined()
        return [
            Case(.kimi3, both, text: "Hi.", calls: ("f", arguments), ("g", "{}")),
            Case(.kimi3, escaped, calls: ("a&b", "{\"x\\\"y\": \"7\", \"i\": null}")),
        ]
    }

    // MARK: MiniMax M3

    private func element(_ name: String, _ content: String) -> String {
        "\(mark)<\(name)>\(content)\(mark)</\(name)>"
    }

    private var miniMax: [Case] {
        let members = [
            element("s", text), element("i", "3"), element("b", "true"),
            element("l", element("item", "x") + element("item", "y")),
            element("o", element("k", "v") + element("n", "1.5")),
        ].joined()
        let both = [
            "Hi.\(mark)<tool_call>\n\(mark)<invoke name=\"f\">\(members)\(mark)</invoke>\n",
            "\(mark)<invoke name=\"g\">\(mark)</invoke>\n\(mark)</tool_call>",
        ].joined()
        let broken = [
            "\(mark)<tool_call>\n\(mark)<invoke name=\"f\">", element("l", ""),
            element("any", element("item", "1")), element("o", "\(mark)<broken>"), "\(mark)</invoke>",
        ].joined()
        let read = "{\"l\": [], \"any\": [1], \"o\": \"\(mark)<broken>\"}"
        return [
            Case(.miniMax3, both, text: "Hi.", calls: ("f", arguments), ("g", "{}")),
            Case(.miniMax3, broken, calls: ("f", read)),
        ]
    }

    // MARK: Gemma

    private var gemma: [Case] {
        func quoted(_ text: String) -> String { "<|\"|>\(text)<|\"|>" }
        let both = [
            "Hi.<|tool_call>call:f{s:", quoted(text), ",i:3,b:true,l:[", quoted("x"), ",", quoted("y"),
            "],o:{k:", quoted("v"), ",n:1.5}}<tool_call|><|tool_call>call:g{}<tool_call|>",
        ].joined()
        let loose = [
            "<|tool_call>call:f{ ", quoted("s"), ": bare word , l:[ ], o:{a:[[1],{}],b:None,}",
            ",n:\"q \\\" \"}<tool_call|>",
        ].joined()
        let read = [
            "{\"s\": \"bare word\", \"l\": [], \"o\": {\"a\": [[1], {}], \"b\": null}, ",
            "\"n\": \"q \\\" \"}",
        ].joined()
        let function = "<start_function_call>call:f{s:<escape>\(text)<escape>}<end_function_call>"
        return [
            Case(.gemma4, both, text: "Hi.", calls: ("f", arguments), ("g", "{}")),
            Case(.gemma4, loose, calls: ("f", read)),
            Case(.functionGemma, function, calls: ("f", onlyText)),
            // Ends that the model forgot.
            Case(.gemma4, "<|tool_call>call:f{i:12", calls: ("f", "{\"i\": 12}")),
            Case(.gemma4, "<|tool_call>call:f{l:[<|\"|>a<|", calls: ("f", "{\"l\": [\"a<|\"]}")),
        ]
    }

    // MARK: Keys and values in lines

    private func tag(_ name: String, _ content: String) -> String {
        "<\(name):opensource>\(content)</\(name):opensource>\n"
    }

    private var lines: [Case] {
        func keyed(_ key: String, _ value: String) -> String { tag("arg_key", key) + tag("arg_value", value) }
        let members = [
            keyed("s", text), keyed("i", "3"), keyed("b", "true"), keyed("l", list), keyed("o", nested),
        ].joined()
        let hunyuan = tag(
            "tool_calls",
            "\n" + tag("tool_call", "f<tool_sep:opensource>\n\(members)")
                + tag("tool_call", "g<tool_sep:opensource>\n")
        ).dropLast()
        let longCat = [
            "<longcat_tool_call>f\n<longcat_arg_key>i</longcat_arg_key>\n",
            "<longcat_arg_value>3</longcat_arg_value>\n</longcat_tool_call>\n",
            "<longcat_tool_call>g\n</longcat_tool_call>",
        ].joined()
        return [
            Case(.hunyuan3, String(hunyuan), calls: ("f", arguments), ("g", "{}")),
            Case(.longCatKeyed, longCat, calls: ("f", "{\"i\": 3}"), ("g", "{}")),
        ]
    }

    // MARK: JSON

    private var objects: [Case] {
        let apertus = "Hi.<|tools_prefix|>[{\"f\": \(arguments)}, {\"g\": {}}]<|tools_suffix|>"
        let solar = [
            "<|tool_calls|><|tool_call:begin|>a1b2c3d4e5<|tool_call:name|>f<|tool_call:args|>", arguments,
            "<|tool_call:end|><|tool_call:begin|>a1b2c3d4e6<|tool_call:name|>g<|tool_call:args|>{}",
            "<|tool_call:end|><|calls|>",
        ].joined()
        let giga = "Hi.<|function_call|>{\"name\": \"f\", \"arguments\": \(arguments)}"
        let longCat = [
            "<longcat_tool_call>{\"name\": \"f\", \"arguments\": \(arguments)}</longcat_tool_call>\n",
            "<longcat_tool_call>{\"name\": \"g\", \"arguments\": {}}</longcat_tool_call>",
        ].joined()
        let intern =
            "Hi.<|action_start|> <|plugin|>\n{\"name\": \"f\", \"parameters\": \(arguments)}<|action_end|>"
        return [
            Case(.apertus, apertus, text: "Hi.", calls: ("f", arguments), ("g", "{}")),
            Case(.solarOpen, solar, calls: ("f", arguments), ("g", "{}")),
            Case(.gigaChat, giga, text: "Hi.", calls: ("f", arguments)),
            Case(.longCat, longCat, calls: ("f", arguments), ("g", "{}")),
            Case(.internLM, intern, text: "Hi.", calls: ("f", arguments)),
        ]
    }

    // MARK: Tags

    private var markup: [Case] {
        let miniCPM = [
            "Hi.\n<function name=\"f\"><param name=\"s\"><![CDATA[\(text)]]></param>",
            "<param name=\"i\">3</param><param name=\"b\">True</param><param name=\"l\">['x', 'y']</param>",
            "<param name=\"o\">{'k': 'v', 'n': 1.5}</param></function>\n<function name=\"g\"></function>",
        ].joined()
        let dots = [
            "<dots_function_call>\n<invoke name=\"f\">\n<parameter name=\"s\">\(text)</parameter>\n",
            "</invoke>\n<invoke name=\"g\">\n</invoke>\n</dots_function_call>",
        ].joined()
        let step = [
            "<｜tool_calls_begin｜>\n<｜tool_call_begin｜>function<｜tool_sep｜><steptml:invoke name=\"f\">\n",
            "<steptml:parameter name=\"s\">\(text)</steptml:parameter>\n",
            "</steptml:invoke><｜tool_call_end｜>\n<｜tool_calls_end｜>",
        ].joined()
        let tag = "<function name=\"f\"><param name=\"s\"><!x</param></function>"
        return [
            Case(.miniCPM5, miniCPM, text: "Hi.", calls: ("f", arguments), ("g", "{}")),
            Case(.miniCPM5, tag, calls: ("f", "{\"s\": \"<!x\"}")),
            Case(.dots, dots, calls: ("f", onlyText), ("g", "{}")),
            Case(.step3, step, calls: ("f", onlyText)),
        ]
    }
}
