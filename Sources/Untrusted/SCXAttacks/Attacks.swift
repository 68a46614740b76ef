/// The list of all attacks.
public enum Attacks {
    /// All attacks on a model with this many blocks; that on routing if some of them have experts.
    public static func all(blocks: Int, hasExperts: Bool = false) -> [any Attack] {
        all(dense: blocks) + (hasExperts ? [Routing()] : [])
    }

    private static func all(dense blocks: Int) -> [any Attack] {
        let matching: [any Attack] = VocabularyMatching.View.allCases.map { VocabularyMatching($0) }
        return [
            Guessing(), CommonestTokens(), NearestInput(), SortedValues(), KeyRecovery(), JoinedViews(),
            NormMatching(),
            ScoreWalk(),
        ] + matching + [
            KeyValueInversion(), LogitLens(), RowSpace(), RowSpace(layer: min(1, max(0, blocks - 1))),
            SecondMoment(), MaskPool(), NoiseAveraging(), Fitting(), Unscrambling(), Uniformity(), PadReuse(),
            PadSpan(),
            LengthGuess(), AcceptanceGuess(), TrafficAnalysis(),
        ]
    }
}
