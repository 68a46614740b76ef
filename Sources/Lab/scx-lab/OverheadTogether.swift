import Foundation
import SCXEngine
import SCXInference
import SCXLink
import SCXProfiles

/// Prompts of several sessions that are there at once.
extension OverheadCommand {
    /// Measures the time until each of several prompts has its first token, for both profiles in turn.
    ///
    /// - Parameters:
    ///   - forwards: Profile `plain`, then `scx`.
    ///   - link: The link of both.
    ///   - checkpoint: The model.
    /// - Throws: What an exchange with the worker throws.
    func measureTogether(
        _ forwards: [any ForwardPass], _ link: TimedLink, _ checkpoint: Checkpoint
    ) throws {
        print("round  profile  first tokens of all s  (trusted)  exchanges        MiB")
        var best: [TimedLink.Interval?] = [nil, nil]
        var ratios: [Double] = []
        for round in 0..<repeats {
            // Both profiles get the same lengths, between 16 and 32.
            let lengths = (0..<sessions).map { 16 + ($0 * 7 + round * 5) % 17 }
            var seconds = [0.0, 0.0]
            for index in round % 2 == 0 ? [0, 1] : [1, 0] {
                let (run, exchanges) = try together(forwards[index], link, checkpoint, lengths)
                seconds[index] = run.seconds
                if run.seconds < best[index]?.seconds ?? .infinity { best[index] = run }
                print(
                    String(
                        format: "%5d  %@ %21.3f  (%7.3f)  %9d  %9.1f", round + 1,
                        ["plain  ", "scx    "][index], run.seconds, run.seconds - run.exchangeSeconds,
                        exchanges, run.bytes / 1_048_576))
            }
            ratios.append(seconds[1] / seconds[0])
        }
        guard let plain = best[0], let scx = best[1] else { return }
        let sorted = ratios.sorted()
        print(
            String(
                format: "best   ratio   %21.3f, of the rounds %.2f to %.2f, in the middle %.2f",
                scx.seconds / plain.seconds, sorted.first ?? 0, sorted.last ?? 0, sorted[sorted.count / 2]))
        if kinds { print("prompts of scx\n\(scx.kinds)\nprompts of plain\n\(plain.kinds)") }
    }

    /// Computes the first token of prompts that are there at once.
    private func together(
        _ forward: any ForwardPass, _ link: TimedLink, _ checkpoint: Checkpoint, _ lengths: [Int]
    ) throws -> (run: TimedLink.Interval, exchanges: Int) {
        let vocabulary = Int32(checkpoint.configuration.vocabularySize)
        let engine = Engine(
            forward: forward, tokenizer: nil, vocabularySize: Int(vocabulary),
            maximumLength: checkpoint.configuration.maximumLength)
        var sampling = SamplingParameters()
        sampling.temperature = 0
        let ids = try lengths.map { length in
            try engine.submit(
                GenerationRequest(
                    prompt: (0..<length).map { _ in Int32.random(in: 0..<vocabulary) }, maximumTokens: 1,
                    sampling: sampling))
        }
        let before = forward.traffic.exchanges
        link.restart()
        while !engine.isIdle {
            for event in try engine.step() { if let failure = event.failure { throw failure } }
        }
        let run = link.interval()
        let exchanges = forward.traffic.exchanges - before
        for id in ids { try engine.end(id) }
        return (run, exchanges)
    }
}
