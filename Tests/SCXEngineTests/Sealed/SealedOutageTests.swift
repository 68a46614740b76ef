import Foundation
import SCXEncoding
import SCXEngine
import SCXLink
import SCXProfiles
import Synchronization
import Testing

/// A worker that is lost at a given exchange, and comes back when the test says so.
final class AbsentLink: WorkerLink {
    private let inner: any WorkerLink
    private let losing: Int

    private struct State {
        var count = 0
        var isLost = false
        /// What an attempt to connect gives: nil while it waits.
        var isBack: Bool?
    }

    private let state = Mutex(State())

    /// - Parameters:
    ///   - inner: Answers while this is there.
    ///   - losing: The exchange that is not answered any more, counted from 1.
    init(_ inner: any WorkerLink, losing: Int) { (self.inner, self.losing) = (inner, losing) }

    var traffic: Traffic { inner.traffic }
    /// Exchanges that were asked for.
    var count: Int { state.withLock { $0.count } }

    func exchange(_ request: Request) throws(LinkError) -> Answer {
        let isLost = state.withLock { state in
            state.count += 1
            if state.count == losing { state.isLost = true }
            return state.isLost
        }
        guard !isLost else { throw .disconnected("killed") }
        return try inner.exchange(request)
    }

    func connect() throws(LinkError) {
        while true {
            let isBack = state.withLock { state in
                if state.isBack == true { state.isLost = false }
                return state.isBack
            }
            if isBack == true { return }
            if isBack == false { throw .unreachable("gone for good") }
            Thread.sleep(forTimeInterval: 0.001)
        }
    }

    /// Lets attempts to connect succeed or fail.
    func comeBack(_ isBack: Bool) { state.withLock { $0.isBack = isBack } }
}

/// A worker that takes requests and answers none, for as long as somebody waits, from a given one on.
final class HangingLink: WorkerLink {
    private let inner: any WorkerLink
    private let hanging: Int
    private let count = Mutex(0)
    private let limits = Mutex<[Duration]>([])

    /// - Parameters:
    ///   - inner: Answers before.
    ///   - hanging: The first request that is not answered any more, counted from 1.
    init(_ inner: any WorkerLink, hanging: Int) { (self.inner, self.hanging) = (inner, hanging) }

    var traffic: Traffic { inner.traffic }
    /// How long was waited for answers.
    var waited: [Duration] { limits.withLock { $0 } }

    func exchange(_ request: Request) throws(LinkError) -> Answer { try inner.exchange(request) }

    func receive(_ sent: SentRequest) throws(LinkError) -> Answer {
        Issue.record("it is waited for without a limit")
        throw .timedOut("it hangs")
    }

    func receive(_ sent: SentRequest, within limit: Duration) throws(LinkError) -> Answer {
        limits.withLock { $0.append(limit) }
        let number = count.withLock { count in
            count += 1
            return count
        }
        guard number < hanging else { throw .timedOut("it hangs") }
        return try sent.answer()
    }

    /// It takes no new connection either.
    func connect() throws(LinkError) { throw .unreachable("it hangs") }
}

@Suite("profile sealed: workers and peers that are away for a while", .timeLimit(.minutes(60)))
struct SealedOutageTests {
    private let fixture: SealedFixture
    private let prompt: [Int32]
    private let expected: [Float]

    init() throws {
        fixture = try SealedFixture("llama-gqa2")
        prompt = fixture.prompt(20)
        expected = try fixture.engine(fixture.fixedPoint()).logits(of: prompt)
    }

    private final class Lines: Sendable {
        private let state = Mutex<[String]>([])
        var all: [String] { state.withLock { $0 } }
        func add(_ line: String) { state.withLock { $0.append(line) } }
        func contains(_ text: String) -> Bool { all.contains { $0.contains(text) } }
        func wait(for text: String) {
            while !contains(text) { Thread.sleep(forTimeInterval: 0.001) }
        }
    }

    @Test(
        "while one worker is away the others go on; it is used again when it is back")
    func oneOfTwo() throws {
        let lines = Lines()
        let absent = AbsentLink(fixture.worker, losing: 3)
        let counts = SealedCounts()
        let engine = fixture.engine(
            fixture.sealed([absent, fixture.worker], counts: counts) { lines.add($0) })
        // Nobody lets it come back: waiting for it would be for ever.
        for _ in 0..<3 { #expect(try engine.logits(of: prompt) == expected) }
        let asked = absent.count
        #expect(lines.all.filter { $0.contains("worker 0 is left out until it is back: ") }.count == 1)
        #expect(!lines.contains("worker 1") && !lines.contains("is back\n"))
        absent.comeBack(true)
        lines.wait(for: "worker 0 is back")
        while absent.count == asked { #expect(try engine.logits(of: prompt) == expected) }
        #expect(counts.values.computedHere == 0 && counts.values.refused == 0)
    }

    @Test("one that hangs is given a multiple of what is expected, and then left out", arguments: [1, 4])
    func hanging(number: Int) throws {
        let lines = Lines()
        let (worker, peer) = (
            HangingLink(fixture.worker, hanging: number), HangingLink(fixture.worker, hanging: number)
        )
        let counts = SealedCounts()
        let engine = fixture.engine(
            fixture.sealed(
                [worker, fixture.worker],
                sources: [PeerPads(peer, name: "peer"), DirectPads(fixture.weights)], counts: counts
            ) { lines.add($0) })
        for _ in 0..<2 { #expect(try engine.logits(of: prompt) == expected) }
        for (link, name) in [(worker, "worker 0"), (peer, "peer")] {
            #expect(link.waited.count == number)
            #expect(link.waited.allSatisfy { $0 >= .seconds(10) && $0 <= .seconds(300) })
            #expect(
                lines.all.filter {
                    $0 == "\(name) is left out until it is back: the peer is silent: it hangs"
                }.count == 1)
        }
        #expect(counts.values.refused == 0 && counts.values.computedHere == 0)
    }

    @Test("without another the step waits for a worker that comes back, and computes here when it does not")
    func onlyOne() throws {
        for isBack in [true, false] {
            let lines = Lines()
            let absent = AbsentLink(fixture.worker, losing: 3)
            let counts = SealedCounts()
            let engine = fixture.engine(fixture.sealed([absent], counts: counts) { lines.add($0) })
            let thread = Thread {
                lines.wait(for: "worker 0 is left out")
                absent.comeBack(isBack)
            }
            thread.start()
            #expect(try engine.logits(of: prompt) == expected)
            #expect((counts.values.computedHere == 0) == isBack)
            #expect(lines.contains("worker 0 is back") == isBack)
        }
    }

    @Test(
        "a peer that is away is waited for if it is the only source; gone, this side multiplies"
    )
    func peer() throws {
        for (hasOther, isBack) in [(true, nil), (false, true), (false, false)] as [(Bool, Bool?)] {
            let lines = Lines()
            let absent = AbsentLink(fixture.worker, losing: 3)
            let counts = SealedCounts()
            let peer = PeerPads(absent, name: "peer of the night")
            let engine = fixture.engine(
                fixture.sealed(
                    sources: hasOther ? [peer, DirectPads(fixture.weights)] : [peer], counts: counts
                ) { lines.add($0) })
            if let isBack {
                let thread = Thread {
                    lines.wait(for: "peer of the night is left out until it is back: ")
                    absent.comeBack(isBack)
                }
                thread.start()
            }
            #expect(try engine.logits(of: prompt) == expected)
            #expect((counts.values.computedHere > 0) == (isBack == false))
            #expect(lines.contains("peer of the night is back") == (isBack == true))
            absent.comeBack(true)
        }
    }
}
