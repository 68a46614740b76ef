package import SCXAttacks
import SCXLink
package import SCXProfiles

/// What a report records and attacks: sessions of one profile with its options, or of one control encoding.
package struct ReportCase: Sendable {
    /// How the sessions of the case are encoded.
    package enum Encoding: Sendable {
        case plain
        case scx(ScxOptions)
        case control(ControlEncoding)
        case sealed(SealedOptions)
    }

    /// In which table of the report the case appears.
    package enum Group: String, CaseIterable, Sendable {
        case profiles, hardened, layers, controls
        /// The one-time pad, as a reference.
        case pad
        /// Profile `sealed`, for the lengths that it does not hide.
        case lengths
    }

    package let name: String
    package let group: Group
    package let encoding: Encoding
    /// The lengths of the prompts in tokens, including the template.
    package var lengths: [Int]
    /// The attacks that are run on the case.
    package let attacks: [any Attack]
    /// How many tokens are generated after each prompt and sent to the worker.
    package var answer = 8
    /// How often each prompt is asked.
    package var repeats = 1
    /// Whether the model writes the prompts, instead of their being parts of the text.
    package var isWritten = false
    /// How many sessions of the attacker's own are recorded besides.
    package var ownSessions: Int {
        get { ownLengths.count }
        set { ownLengths = (0..<newValue).map { 140 + $0 } }
    }
    /// The lengths of their prompts in tokens.
    package var ownLengths: [Int] = []
    /// The curves on which the case is a point, and where on each.
    package var points: [String: Double] = [:]

    package init(
        _ name: String, _ group: Group, _ encoding: Encoding, lengths: [Int], attacks: [any Attack]
    ) {
        (self.name, self.group, self.encoding) = (name, group, encoding)
        (self.lengths, self.attacks) = (lengths, attacks)
    }

    /// The sessions on which an attack runs: all, or the shortest of them if the attack is slow.
    func sessions(for attack: any Attack) -> [Int] {
        let all = Array(0..<lengths.count * repeats)
        var limit = Self.limits[attack.name] ?? all.count
        // If nothing fits, a search tries all tokens at every position.
        let searches = ["joined-views", "scores"]
        if isSealed, attack.name.hasPrefix("vocabulary") || searches.contains(attack.name) {
            limit = min(limit, 2)
        }
        if isSealed, attack.name.hasPrefix("pad-") { limit = 1 }
        return Array(all.sorted { lengths[$0 / repeats] < lengths[$1 / repeats] }.prefix(limit)).sorted()
    }

    /// Whether the worker sees integers of profile `sealed`, with its own pads or weaker ones.
    var isRing: Bool {
        switch encoding {
        case .sealed, .control(.ring): true
        case .plain, .scx, .control: false
        }
    }

    private var isSealed: Bool { if case .sealed = encoding { true } else { false } }

    /// The most sessions of a case on which slow attacks, and attacks that read the whole transcript at once, are
    /// run.
    private static let limits = [
        "unscrambling": 2, "second-moment": 2, "row-space-1": 2, "scores": 4, "uniformity": 1,
        "averaging": 1, "vocabulary-answers": 8,
    ]
}

/// All cases of a report.
package struct ReportPlan: Sendable {
    let blocks: Int
    let prompts: Int
    /// The scale of the noise in the model's profile.
    let noiseScale: Float
    /// How many positions of each prompt everybody knows.
    let knownTokens: Int
    /// How many tokens the longest prompt has.
    let longest: Int
    /// Whether hardened settings are left out.
    let isBrief: Bool

    package init(
        blocks: Int, prompts: Int, noiseScale: Float, knownTokens: Int, longest: Int = 128,
        isBrief: Bool = false
    ) {
        (self.longest, self.isBrief) = (longest, isBrief)
        (self.blocks, self.prompts) = (blocks, prompts)
        (self.noiseScale, self.knownTokens) = (noiseScale, knownTokens)
    }

    /// The lengths of the prompts of whole profiles.
    ///
    /// They are all different, so that no attack confuses two prompts.
    private var lengths: [Int] { spread(prompts) }

    private func spread(_ count: Int) -> [Int] {
        (0..<count).map { count == 1 ? 32 : 32 + $0 * (longest - 32) / (count - 1) }
    }

    /// The cases of these profiles, `plain`, `scx`, `scx:session` and `sealed`, and of the references that belong to
    /// them.
    ///
    /// - Returns: Nil when a profile is none of these.
    package func cases(profiles: [String]) -> [ReportCase]? {
        var cases: [ReportCase] = []
        for profile in profiles {
            var options = ScxOptions()
            let encoding: ReportCase.Encoding
            switch profile {
            case "plain": encoding = .plain
            case "scx": encoding = .scx(options)
            case "scx:session":
                options.reuse = .session
                encoding = .scx(options)
            case "sealed": encoding = .sealed(SealedOptions())
            default: return nil
            }
            var one = ReportCase(
                profile, .profiles, encoding, lengths: lengths, attacks: Attacks.all(blocks: blocks))
            one.ownSessions = 3
            if profile == "scx" {
                one.points = [
                    "noise scale": Double(noiseScale), "protected blocks at each end": 1,
                    "redundant rows": 100, "generated tokens": 8,
                ]
            }
            cases.append(one)
        }
        if !isBrief, profiles.contains("scx"), blocks >= 3 { cases += hardened + layers }
        return cases + controls + pads + (profiles.contains("sealed") ? leaks : [])
    }

    /// What `sealed` does not hide: lengths, with and without rounded row counts and speculation.
    private var leaks: [ReportCase] {
        func make(_ name: String, _ rowCounts: RowCounts, draft: Int = 0) -> ReportCase {
            var options = SealedOptions()
            (options.rowCounts, options.longestDraft) = (rowCounts, draft)
            var one = ReportCase(
                "sealed, \(name)", .lengths, .sealed(options),
                lengths: (0..<min(prompts, 16)).map { 20 + ($0 * 37 + 11) % 107 },
                attacks: [LengthGuess(hasDrafts: draft > 0), AcceptanceGuess()])
            one.answer = draft > 0 ? 64 : 8
            // From its own sessions the attacker learns how long computations take.
            if draft == 0 { one.ownLengths = stride(from: 18, through: 126, by: 12).map { $0 } }
            return one
        }
        return [
            make("exact rows", .exact), make("rows in powers of two", .powersOfTwo),
            make("rows in multiples of 64", .multiples(of: 64)),
            make("exact rows, drafts of up to 8", .exact, draft: 8),
            make("rows in multiples of 16, drafts of up to 8", .multiples(of: 16), draft: 8),
        ]
    }

    private var hardened: [ReportCase] {
        func make(_ name: String, _ change: (inout ScxOptions) -> Void) -> ReportCase {
            var options = ScxOptions()
            change(&options)
            return ReportCase(
                "scx, \(name)", .hardened, .scx(options), lengths: spread(min(prompts, 3)),
                attacks: Self.quick)
        }
        var cases: [ReportCase] = []
        for factor in [0, 4, 16] as [Float] {
            let scale = factor * noiseScale
            var one = make(factor == 0 ? "no noise" : "noise times \(Int(factor))") { $0.noiseScale = scale }
            one.points = ["noise scale": Double(scale)]
            cases.append(one)
        }
        let deepest = blocks / 2
        for ends in Set([2, (deepest + 1) / 2, deepest]).sorted() where ends > 1 && ends <= deepest {
            var one = make("ls and le \(ends)") { ($0.firstBlocks, $0.lastBlocks) = (ends, ends) }
            one.points = ["protected blocks at each end": Double(ends)]
            cases.append(one)
        }
        for rows in [0, 400] {
            var one = make(rows == 0 ? "no redundant rows" : "\(rows) redundant rows") {
                $0.redundancy = rows == 0 ? .none : .fixed(rows)
            }
            one.points = ["redundant rows": Double(rows)]
            cases.append(one)
        }
        cases.append(make("compressed to int4") { $0.compression = .int4 })
        for tokens in [0, 2, 32] {
            var one = make(tokens == 0 ? "prompt only, so no key sharing" : "\(tokens) generated tokens") {
                _ in
            }
            one.answer = tokens
            one.points = ["generated tokens": Double(tokens)]
            cases.append(one)
        }
        var all = make("all of these at once, prompt only") {
            ($0.firstBlocks, $0.lastBlocks) = (max(1, deepest), max(1, deepest))
            $0.redundancy = .fixed(400)
            $0.noiseScale = 16 * noiseScale
            $0.compression = .int4
        }
        all.answer = 0
        cases.append(all)
        var repeated = make("one prompt asked 16 times") { $0.redundancy = .none }
        repeated.lengths = [48]
        repeated.repeats = 16
        return cases + [
            ReportCase(repeated, attacks: [Guessing(), NearestInput(), NoiseAveraging()])
        ]
    }

    private var layers: [ReportCase] {
        var attacks: [any Attack] = [Guessing()]
        for layer in 0..<blocks {
            attacks.append(VocabularyMatching(.inputs, layer: layer))
            attacks.append(VocabularyMatching(.attention, layer: layer))
            attacks.append(VocabularyMatching(.feedForward, layer: layer))
            if (1..<blocks - 1).contains(layer) {
                attacks.append(VocabularyMatching(.sharedKeysAndValues, layer: layer))
            }
        }
        return [
            ReportCase(
                "scx, block by block", .layers, .scx(ScxOptions()), lengths: [32, 33], attacks: attacks)
        ]
    }

    /// For every attack an encoding that the attack must break.
    private var controls: [ReportCase] {
        let scx = ControlEncoding.permuted(redundant: 10, noise: 5)
        var permuted: [any Attack] = [
            SortedValues(), KeyRecovery(), JoinedViews(), VocabularyMatching(.inputs),
            VocabularyMatching(.joinedInputs), VocabularyMatching(.feedForward),
            VocabularyMatching(.attention),
        ]
        if blocks > 2 { permuted.append(VocabularyMatching(.sharedKeysAndValues)) }
        func make(
            _ name: String, _ encoding: ControlEncoding, _ attacks: [any Attack], answer: Int = 0
        ) -> ReportCase {
            var one = ReportCase(
                name, .controls, .control(encoding), lengths: [32, 40], attacks: [Guessing()] + attacks)
            one.answer = answer
            return one
        }
        var fixed = make("one order of channels for all", .fixedChannels, [Fitting()])
        fixed.ownSessions = 3
        var written = make(
            "permuted rows, a text of the model's own", .permuted(), [Unscrambling(beam: 16), LogitLens()],
            answer: 4)
        (written.lengths, written.isWritten) = ([20, 24], true)
        var noised = make("noise, one text 40 times", .permuted(noise: 2), [NoiseAveraging()], answer: 15)
        // The only token of the prompt is known, and the generated ones keep their order.
        (noised.lengths, noised.repeats) = ([1], 40)
        var real = make(
            "pads of real numbers, four times the rows, one text 40 times", .realPads(scale: 4),
            [NearestInput(), NoiseAveraging()])
        (real.lengths, real.repeats) = ([32], 40)
        var twice = make("integers, pads used by two sessions", .ring(.twice), [PadReuse()])
        // They have the same length, so that every row shares its pad with another.
        twice.lengths = [32, 32]
        return [
            make(
                "unprotected", .unprotected,
                [
                    NearestInput(), VocabularyMatching(.middle), VocabularyMatching(.answers),
                ], answer: 4),
            make("permuted rows and channels, noise", scx, permuted, answer: 4),
            make(
                "permuted rows and channels", .permuted(),
                [NearestInput(), SecondMoment(), KeyValueInversion()]), written,
            make("rotated heads", .rotated, [NormMatching(), ScoreWalk()]),
            make("rows mixed with shields", .mixed(shields: 8, orthogonal: false), [RowSpace()]),
            make(
                "rows mixed with shields, second block", .mixed(shields: 8, orthogonal: false),
                [RowSpace(layer: min(1, blocks - 1))]),
            make("rows mixed by an orthogonal map", .mixed(shields: 0, orthogonal: true), [SecondMoment()]),
            make("sums of few masks", .pooledMasks(count: max(1, min(4, knownTokens))), [MaskPool()]),
            make("one mask for all", .reusedMask, [MaskPool()]), fixed, noised,
            make("one-time pad with a pad used twice", .oneTimePad(reuse: 1), [PadReuse()]),
            make("pads of real numbers, a fifth of the rows", .realPads(scale: 0.2), [NearestInput()]),
            real,
            make("integers, one pad for all rows of a request", .ring(.onePerRequest), [PadReuse()]),
            make("integers, pads from a pool of 8", .ring(.pool(count: 8)), [PadReuse()], answer: 4),
            make(
                "integers, pads that are sums of few masks",
                .ring(.span(rank: max(1, min(4, knownTokens - 1)))), [PadSpan()], answer: 4),
            twice,
        ]
    }

    private var pads: [ReportCase] {
        var pad = ReportCase(
            "one-time pad", .pad, .control(.oneTimePad()),
            lengths: Array([20, 22, 24, 26, 28].prefix(prompts)),
            attacks: Attacks.all(blocks: blocks))
        pad.answer = 2
        pad.ownSessions = 3
        return [pad]
    }

    /// Attacks on hardened settings, which take only seconds each.
    private static let quick: [any Attack] =
        [
            Guessing(), NearestInput(), SortedValues(), KeyRecovery(), JoinedViews(), NormMatching(),
            KeyValueInversion(), LogitLens(),
        ] + VocabularyMatching.View.allCases.map { VocabularyMatching($0) }
}

extension ReportCase {
    /// The same case with other attacks.
    fileprivate init(_ other: ReportCase, attacks: [any Attack]) {
        self.init(other.name, other.group, other.encoding, lengths: other.lengths, attacks: attacks)
        (answer, repeats, ownLengths, points) = (
            other.answer, other.repeats, other.ownLengths, other.points
        )
    }
}
