/// How one family of models writes calls of functions: the marks around them, and what stands between.
///
/// An answer has calls in this shape, with white space anywhere between the parts:
///
///     section.open  call.open BODY call.close  call.open BODY call.close  section.close
///
/// A family has marks around all calls, around each, or around both. Each of them has a file in `Formats`.
struct ToolCallSyntax: Sendable {
    struct Marks: Sendable {
        let open: String
        /// Empty where the calls end without one.
        var close = ""
    }

    /// What a call itself looks like.
    enum Body: Sendable {
        /// `{"name": …, "arguments": {…}}`, with the names of members that ``ToolCallReader`` knows.
        case object
        /// `{"NAME": {…}}`.
        case keyed
        /// A header, and the arguments as a JSON object.
        case named(Header)
        /// A name, and each argument between marks of its own.
        case parameters(ParameterMarks)
        /// `name(argument=value, …)` as in Python.
        case python
        /// `call:NAME{key:…}`, with texts between marks of the family's own.
        case quoted(NestedNotation)
        /// `NAME">` and elements named after the arguments, with a mark before each tag.
        case elements(NestedNotation, mark: String)
    }

    /// The text between a call's beginning and its arguments.
    struct Header: Sendable {
        var allowsLines = true
        /// The function's name and the call's id, nil for what is no header.
        let read: @Sendable (String) -> (name: String, id: String?)?
    }

    /// Marks around a name and its arguments: `open NAME nameClose (keyOpen KEY keyClose VALUE valueClose)… close`.
    struct ParameterMarks: Sendable {
        /// Before the name; empty where the call's own mark stands there.
        var open = ""
        /// After the name; empty where a line's end, the first key or the end stands there.
        var nameClose = ""
        let keyOpen: String
        let keyClose: String
        /// Between a key and its value, where that is more than the end of the key.
        var valueOpen = ""
        let valueClose: String
        let close: String
        /// A value stands on lines of its own: the line ends around it are no part of it.
        var isOnLines = false
        /// Follows each value where calls are written.
        var separator = "\n"
        var attributes = Attributes.none
        /// Stands around texts with `<`, `&` or line ends, inside of the value's marks.
        var quotes: Marks?
    }

    /// What a family says beside the name of a call or a key, as attributes of a tag.
    enum Attributes: Sendable {
        case none
        /// A key is followed by `string="true"` or `string="false"`, which says whether the value is JSON.
        case isString
        /// A name is followed by attributes that mean nothing here, and a key by `type="…"`, a kind of JSON; names have
        /// `&amp;` and `&quot;`.
        case type
    }

    var section: Marks?
    var call: Marks?
    let body: Body
    /// Calls stand in `[…]`, with commas between them.
    var isList = false
    /// A call may begin an answer without any mark.
    var isBare = false
    /// Texts that may stand between the arguments and the call's end.
    var trailers: [String] = []
    /// Whether a template teaches this syntax.
    let isTaught: @Sendable (_ template: String) -> Bool
    /// How calls are written.
    let writing: Writing

    /// The parts of written calls: `opening`, then for each call `prefix(name, its number)`, the arguments and
    /// `suffix`, with `between` between two calls, then `closing`.
    struct Writing: Sendable {
        var opening = ""
        let prefix: @Sendable (_ name: String, _ index: Int) -> String
        var suffix = ""
        var between = ""
        var closing = ""
    }

    /// Texts that begin calls, wherever they stand in an answer.
    var openings: [String] {
        var openings = [section?.open, call?.open].compactMap(\.self)
        if case .parameters(let marks) = body, !marks.open.isEmpty { openings.append(marks.open) }
        return openings
    }

    /// Texts that may stand between calls, or after them, besides those that begin one.
    var closings: [String] {
        ([call?.close, section?.close].compactMap(\.self) + trailers).filter { !$0.isEmpty }
    }

    /// All texts that decoding has to show, though they may be special tokens.
    var marks: [String] {
        var marks = [section?.open, section?.close, call?.open, call?.close].compactMap(\.self) + trailers
        switch body {
        case .parameters(let parts):
            marks += [
                parts.open, parts.nameClose, parts.keyOpen, parts.keyClose, parts.valueOpen, parts.valueClose,
                parts.close,
            ]
        case .quoted(let notation): marks.append(notation.textClose)
        case .elements(_, let mark): marks.append(mark)
        case .object, .keyed, .named, .python: break
        }
        return marks.filter { !$0.isEmpty }
    }
}
