extension UnicodeTables {
    /// The characters of a property as Oniguruma names it in `\p{…}`; nil for a name that is unknown here.
    ///
    /// Case, spaces, hyphens and underscores do not count. Known are general categories, scripts, and the properties
    /// that are of use for splitting text.
    static func property(_ name: String) -> ScalarRanges? {
        properties.get(plain(name))
    }

    private static func plain(_ name: String) -> String {
        String(name.unicodeScalars.filter { $0 != " " && $0 != "_" && $0 != "-" }.map { Character($0) })
            .lowercased()
    }

    /// Where each name leads; the sets themselves are made when they are asked for.
    private struct Properties {
        var categories: [String: Set<Int>] = [:]
        var scripts: [String: Int] = [:]
        var others: [String: @Sendable () -> ScalarRanges] = [:]

        func get(_ name: String) -> ScalarRanges? {
            if let values = categories[name] { return UnicodeTables.categories.characters(values.contains) }
            if let value = scripts[name] { return UnicodeTables.scripts.characters { $0 == value } }
            return others[name]?()
        }
    }

    private static let properties: Properties = {
        var properties = Properties()
        let longNames = [
            "UppercaseLetter", "LowercaseLetter", "TitlecaseLetter", "ModifierLetter", "OtherLetter",
            "NonspacingMark", "SpacingMark", "EnclosingMark", "DecimalNumber", "LetterNumber", "OtherNumber",
            "ConnectorPunctuation", "DashPunctuation", "OpenPunctuation", "ClosePunctuation",
            "InitialPunctuation", "FinalPunctuation", "OtherPunctuation", "MathSymbol", "CurrencySymbol",
            "ModifierSymbol", "OtherSymbol", "SpaceSeparator", "LineSeparator", "ParagraphSeparator",
            "Control", "Format", "Surrogate", "PrivateUse", "Unassigned",
        ]
        for (category, longName) in zip(Category.allCases, longNames) {
            for name in ["\(category)", longName] {
                properties.categories[plain(name)] = [category.rawValue]
            }
            properties.categories[plain(String("\(category)".prefix(1))), default: []].insert(
                category.rawValue)
        }
        for (long, short) in [
            ("Letter", "L"), ("Mark", "M"), ("CombiningMark", "M"), ("Number", "N"), ("Punctuation", "P"),
            ("Symbol", "S"), ("Separator", "Z"), ("Other", "C"),
        ] {
            properties.categories[plain(long)] = properties.categories[plain(short)]
        }
        let cased = Set([Category.lu, .ll, .lt].map(\.rawValue))
        for name in ["lc", "casedletter"] { properties.categories[name] = cased }
        for (value, names) in scriptNames.split(separator: ",").enumerated() {
            for name in names.split(separator: " ") { properties.scripts[plain(String(name))] = value }
        }
        properties.scripts["qaai"] = properties.scripts["zinh"]
        properties.scripts["qaac"] = properties.scripts["copt"]
        properties.others = [
            "any": { .all }, "ascii": { ScalarRanges(0..<0x80) }, "assigned": { category(.cn).inverted },
            "whitespace": { whiteSpaceSet }, "wspace": { whiteSpaceSet },
            "emoji": { set(emojiSet) }, "emojipresentation": { set(emojiPresentationSet) },
            "epres": { set(emojiPresentationSet) }, "extendedpictographic": { set(extendedPictographicSet) },
            "extpict": { set(extendedPictographicSet) }, "ideographic": { set(ideographicSet) },
            "ideo": { set(ideographicSet) }, "alphabetic": { set(alphabeticSet) },
            "uppercase": { set(uppercaseSet) }, "lowercase": { set(lowercaseSet) },
            "word": { wordCharacters },
        ]
        for name in bracketNames where properties.others[name] == nil && properties.categories[name] == nil {
            // `\p{Punct}` is the category, `[:punct:]` has symbols too.
            properties.others[name] = {
                name == "punct" ? categoryGroup("p") : bracket(name) ?? ScalarRanges()
            }
        }
        return properties
    }()

    private static func category(_ category: Category) -> ScalarRanges {
        categories.characters { $0 == category.rawValue }
    }

    private static func categoryGroup(_ letter: String) -> ScalarRanges {
        let values = Category.allCases.filter { "\($0)".hasPrefix(letter) }.map(\.rawValue)
        return categories.characters(values.contains)
    }

    /// `\d`.
    static let digit = category(.nd)

    /// `\w` outside of a class: as within one, and the six characters below U+0100 that are numbers but no digits.
    static let wordCharacters = bracketWord.union(
        ScalarRanges(charactersOf: "\u{B2}\u{B3}\u{B9}\u{BC}\u{BD}\u{BE}"))

    /// `\w` within a class, and `[[:word:]]`.
    static let bracketWord = set(alphabeticSet).union(categoryGroup("m")).union(digit)
        .union(category(.pc))

    private static let bracketNames = [
        "alnum", "alpha", "ascii", "blank", "cntrl", "digit", "graph", "lower", "print", "punct", "space",
        "upper", "xdigit", "word",
    ]

    /// The characters of `[:name:]`; nil for an unknown name.
    static func bracket(_ name: String) -> ScalarRanges? {
        switch name {
        case "alnum": set(alphabeticSet).union(digit)
        case "alpha": set(alphabeticSet)
        case "ascii": ScalarRanges(0..<0x80)
        case "blank": category(.zs).union(ScalarRanges(0x09))
        case "cntrl": category(.cc)
        case "digit": digit
        case "graph": graph
        case "lower": set(lowercaseSet)
        case "print": graph.union(category(.zs))
        case "punct": categoryGroup("p").union(categoryGroup("s"))
        case "space": whiteSpaceSet
        case "upper": set(uppercaseSet)
        case "xdigit": hexadecimal
        case "word": bracketWord
        default: nil
        }
    }

    private static let graph = whiteSpaceSet.union(category(.cc)).union(category(.cn)).union(category(.cs))
        .inverted

    /// `\h`.
    static let hexadecimal = ScalarRanges([0x30..<0x3A, 0x41..<0x47, 0x61..<0x67])
}
