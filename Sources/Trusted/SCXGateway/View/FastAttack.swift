import SCXAttacks
import SCXInference
import SCXLink

/// An attack of the laboratory that takes a fraction of a second, in words for people who see it for the first time.
struct FastAttack {
    let attack: any Attack
    let explanation: String
    /// Looks at the first block's attention alone.
    var usesAttention = false

    /// Those that tell most come first.
    static var all: [FastAttack] {
        [
            FastAttack(
                attack: NearestInput(),
                explanation:
                    "Compares each row that enters the first block with every token of the vocabulary and takes the "
                    + "nearest."),
            FastAttack(
                attack: NormMatching(),
                explanation:
                    "The lengths of a row's heads do not change when channels are shuffled, and hardly two tokens "
                    + "have the same.", usesAttention: true),
            FastAttack(
                attack: KeyRecovery(),
                explanation:
                    "The chat template's marks are public. Where they stand they give the channels' order away, and "
                    + "all else is then read with it.", usesAttention: true),
            FastAttack(
                attack: SortedValues(),
                explanation:
                    "Sorted, the numbers of a head are the same however they were shuffled, and they tell the token.",
                usesAttention: true),
            FastAttack(
                attack: LogitLens(),
                explanation:
                    "Reads the next token from hidden states near the model's end, by the final norm and head, which "
                    + "are public."),
            FastAttack(
                attack: TrafficAnalysis(),
                explanation: "Reads lengths and times, which no encoding of values hides."),
            FastAttack(
                attack: Guessing(),
                explanation:
                    "No attack: what the model itself would write, without a look at what the worker saw. Whatever "
                    + "another recovers beyond this it owes to the worker's view."),
        ]
    }

    /// Names of the laboratory's other attacks on a model of this depth, with or without experts.
    static func slow(blocks: Int, hasExperts: Bool) -> [String] {
        let fast = Set(all.map(\.attack.name))
        return Attacks.all(blocks: blocks, hasExperts: hasExperts).map(\.name).filter { !fast.contains($0) }
    }

    /// What the attack needs to look at.
    ///
    /// Where the keys and values of all positions travel for each token, the last time is enough.
    func shortened(_ target: Target) throws(AttackError) -> Target {
        guard usesAttention, let last = target.session.steps.last,
            let exchange = last.first(.attention, layer: 0),
            let rows = try target.views.attention(of: exchange),
            rows.keyPositions == 0..<target.session.length
        else { return target }
        var target = target
        target.session = Session(target.session, steps: [last])
        return target
    }
}
