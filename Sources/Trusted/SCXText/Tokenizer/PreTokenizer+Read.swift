import SCXInference

extension PreTokenizer {
    /// The steps of the section `pre_tokenizer`.
    struct Plan {
        var steps: [PreTokenizer] = []

        /// Takes away the last step if that writes words in the byte alphabet, for a model that takes bytes.
        mutating func removeFinalAlphabet() -> Bool {
            guard case .byteAlphabet = steps.last else { return false }
            steps.removeLast()
            return true
        }
    }

    /// Reads the section `pre_tokenizer`.
    static func read(_ section: TokenizerSection) throws(TokenizerError) -> Plan {
        var plan = Plan()
        for part in try section.flattened("pretokenizers") { try read(step: part, into: &plan) }
        return plan
    }

    private static func read(step section: TokenizerSection, into plan: inout Plan) throws(TokenizerError) {
        switch try section.type() {
        case "Split": plan.steps.append(try readSplit(section))
        case "Digits":
            let isIndividual = try section.flag("individual_digits")
            plan.steps.append(.characters(.number, isIndividual ? .isolated : .contiguous))
        case "Punctuation":
            plan.steps.append(.characters(.punctuation, try section.behavior(default: .isolated)))
        case "BertPreTokenizer":
            plan.steps += [.characters(.whiteSpace, .removed), .characters(.punctuation, .isolated)]
        case "Whitespace": plan.steps.append(.wordRuns)
        case "WhitespaceSplit": plan.steps.append(.characters(.whiteSpace, .removed))
        case "CharDelimiterSplit":
            plan.steps.append(.characters(.scalar(try section.character("delimiter")), .removed))
        case "UnicodeScripts": plan.steps.append(.scripts)
        case "FixedLength":
            let length = section.json["length"].map { $0.int ?? 0 } ?? 5
            guard length > 0 else { throw section.malformed("has no 'length' above 0") }
            plan.steps.append(.fixedLength(length))
        case "ByteLevel":
            if try section.flag("add_prefix_space") { plan.steps.append(.prefixSpace) }
            if try section.flag("use_regex", default: true) {
                plan.steps.append(
                    .split(try section.compiled(byteLevelPattern), .isolated, isInverted: false))
            }
            plan.steps.append(.byteAlphabet)
        case "Metaspace":
            plan.steps.append(
                .metaspace(
                    Metaspace(
                        replacement: try section.character("replacement"),
                        prefix: try readPrefix(section), split: try section.flag("split", default: true))))
        case let type: throw section.unsupported(type)
        }
    }

    /// Where a `Metaspace` puts its prefix, in the newer or the older spelling.
    static func readPrefix(_ section: TokenizerSection) throws(TokenizerError) -> Metaspace.Prefix {
        let name = section.json["prepend_scheme"]?.string
        let addsPrefix = try section.flag("add_prefix_space", default: true)
        guard let prefix = Metaspace.Prefix(rawValue: name ?? (addsPrefix ? "always" : "never")) else {
            throw section.malformed("has an unknown 'prepend_scheme'")
        }
        guard addsPrefix || prefix == .never else {
            throw section.malformed("has an 'add_prefix_space' against its 'prepend_scheme'")
        }
        return prefix
    }

    private static func readSplit(_ section: TokenizerSection) throws(TokenizerError) -> PreTokenizer {
        let behavior = try section.behavior(default: nil)
        let isInverted = try section.flag("invert")
        return switch try section.pattern() {
        case .text(let text): .splitAtText(text, behavior, isInverted: isInverted)
        case .expression(let pattern): .split(pattern, behavior, isInverted: isInverted)
        }
    }
}

extension TokenizerSection {
    fileprivate func behavior(default missing: SplitBehavior?) throws(TokenizerError) -> SplitBehavior {
        if let missing, json["behavior"] == nil { return missing }
        let name = try string("behavior")
        guard let behavior = SplitBehavior(rawValue: name) else {
            throw unsupported(json["type"]?.string ?? "", "with the behavior \(name.quotedForError)")
        }
        return behavior
    }
}
