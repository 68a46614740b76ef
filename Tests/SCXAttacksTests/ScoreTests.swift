import SCXAttacks
import Testing
import scx_lab

@Suite("Scores")
struct ScoreTests {
    @Test("A share's interval is Wilson's")
    func hasIntervals() {
        let interval = Share(8, of: 10).interval
        #expect(abs(interval.lowerBound - 0.4902) < 1e-3 && abs(interval.upperBound - 0.9433) < 1e-3)
        #expect(Share(0, of: 0).interval == 0...1 && Share(5, of: 5).interval.upperBound == 1)
    }

    @Test("Known positions are not counted, ranks and sequences are")
    func scores() {
        var findings = Findings()
        findings.positions = [0: [9], 1: [5, 6], 2: [6, 7], 4: [8]]
        let score = AttackScore(findings, truth: [9, 5, 7, 7, 8], known: [0])
        #expect(score.exact == Share(2, of: 4) && score.set == Share(2, of: 4))
        #expect(score.ranks == [1, 2, 1] && score.medianRank == 1)
        // Found 5 6 8 of 5 7 7 8: two in common, two edits.
        #expect(abs(score.rougeL - 4.0 / 7) < 1e-9 && abs(score.editDistance - 0.5) < 1e-9)
    }

    @Test("A bag counts each token as often as it occurs, and no more rows than the text has")
    func scoresBags() {
        var findings = Findings()
        findings.bag = [[1], [1], [2], [3], [4]]
        #expect(AttackScore(findings, truth: [1, 2, 2], known: []).set == Share(2, of: 3))
        #expect(AttackScore(findings, truth: [4, 4, 4], known: []).set == Share(0, of: 3))
    }

    @Test("Sequences are compared as textbooks do")
    func comparesSequences() {
        #expect(levenshtein(Array("kitten"), Array("sitting")) == 3)
        #expect(longestCommonSubsequence(Array("AGCAT"), Array("GAC")) == 2)
        #expect(levenshtein([Int](), [1]) == 1 && longestCommonSubsequence([Int](), [1]) == 0)
    }

    @Test("The chat template's marks are known, at both ends of a prompt")
    func knowsTheTemplate() throws {
        let known = try KnownText.template(
            directory: "\(AttackFixture.root)/Models/ward-3m", promptLength: AttackFixture.prompt.count)
        #expect(known == AttackFixture.known)
    }
}
