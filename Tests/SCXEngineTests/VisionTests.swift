import Foundation
import SCXEncoding
import SCXEngine
import SCXImages
import SCXInference
import SCXLink
import SCXProfiles
import SCXWorker
import Synchronization
import Testing

/// Rows in clear, of numbers.
func plaintext(_ values: [Float], channels: Int) -> Plaintext {
    var rows = Plaintext(rows: values.count / channels, channels: channels)
    var span = rows.values
    for i in values.indices { span[i] = values[i] }
    return rows
}

/// The largest difference as a share of the largest expected value.
private func share(_ found: [Float], _ expected: [Float]) throws -> Float {
    try #require(found.count == expected.count && !expected.isEmpty)
    let largest = expected.reduce(0) { max($0, abs($1)) }
    return zip(found, expected).reduce(0) { max($0, abs($1.0 - $1.1)) } / largest
}

/// Runs requests together until all have ended.
private func run(_ engine: Engine, _ requests: [GenerationRequest]) throws -> [[Int32]] {
    let ids = try requests.map { try engine.submit($0) }
    var answers: [SessionID: [Int32]] = [:]
    var steps = 0
    while !engine.isIdle {
        steps += 1
        try #require(steps < 2_000, "it does not end")
        for event in try engine.step() {
            if let failure = event.failure { throw failure }
            if let token = event.token { answers[event.session, default: []].append(token.id) }
        }
    }
    return ids.map { answers[$0] ?? [] }
}

@Suite("pictures")
struct VisionTests {
    @Test("every family and option has a case")
    func cases() {
        #expect(VisionCase.generating.count >= 6)
        #expect(VisionCase.towers.count >= 8)
    }

    @Test("labels and vectors are those of transformers, in profile plain", arguments: VisionCase.towers)
    func vectors(_ vision: VisionCase) throws {
        let expected = try vision.expected()
        let (checkpoint, forward) = try vision.plain()
        let engine = vision.engine(checkpoint.configuration, forward)
        for number in 0..<2 {
            let found = try engine.vectors(of: expected.pixels(number))
            #expect(found.count == 2)
            let off = try share(found.flatMap(\.self), expected.floats("vectors.\(number)"))
            #expect(off <= 2e-4, "off by \(off)")
        }
    }

    @Test("logits are those of transformers, in profile plain", arguments: VisionCase.generating)
    func logitsOfPrompts(_ vision: VisionCase) throws {
        let expected = try vision.expected()
        let forward = try vision.plain().forward
        for number in 0..<3 {
            let prompt = try expected.prompt(number)
            let off = try share(logits(prompt, forward, UInt32(number)), prompt.logits)
            #expect(off <= 2e-4, "prompt \(number) is off by \(off)")
        }
    }

    @Test(
        "three requests at once, two with the same tokens and other pictures and one without, generate what transformers does",
        arguments: VisionCase.generating, [3, 512])
    func together(_ vision: VisionCase, tokensPerStep: Int) throws {
        let expected = try vision.expected()
        let (checkpoint, forward) = try vision.plain()
        let engine = vision.engine(
            checkpoint.configuration, forward, scheduler: Scheduler(tokensPerStep: tokensPerStep))
        let prompts = try (0..<3).map { try expected.prompt($0) }
        let found = try run(engine, prompts.map { $0.request($0.greedy.count) })
        #expect(found == prompts.map(\.greedy))
    }

    @Test(
        "profile sealed computes what the same arithmetic gives here, near to transformers",
        arguments: VisionCase.all)
    func sealed(_ vision: VisionCase) throws {
        let expected = try vision.expected()
        let fixture = try SealedFixture(directory: vision.directory)
        var options = RingOptions()
        options.fewestRowsOfTwo = 6
        let sealed = fixture.sealed(options: options)
        let reference = fixture.fixedPoint()
        if fixture.checkpoint.configuration.hasHead {
            for number in 0..<3 {
                let prompt = try expected.prompt(number)
                let (found, same) = (
                    try logits(prompt, sealed, UInt32(number)), try logits(prompt, reference, UInt32(number))
                )
                #expect(found.map(\.bitPattern) == same.map(\.bitPattern))
                // The decoder's weights are rounded to int8.
                #expect(try share(found, prompt.logits) < 0.15)
            }
        } else {
            let engines = [sealed, reference].map { vision.engine(fixture.checkpoint.configuration, $0) }
            for number in 0..<2 {
                let found = try engines.map { try $0.vectors(of: expected.pixels(number)).flatMap(\.self) }
                #expect(found[0].map(\.bitPattern) == found[1].map(\.bitPattern))
                let off = try share(found[0], expected.floats("vectors.\(number)"))
                #expect(off < 2e-3, "off by \(off)")
            }
        }
    }

    @Test(
        "profile sealed generates the same together, in chunks and alone",
        arguments: ["llava", "gemma3-pictures"])
    func sealedTogether(name: String) throws {
        let vision = VisionCase(name: name)
        let expected = try vision.expected()
        let fixture = try SealedFixture(directory: vision.directory)
        let configuration = fixture.checkpoint.configuration
        let prompts = try (0..<3).map { try expected.prompt($0).request(12) }
        let alone = try prompts.map { try run(vision.engine(configuration, fixture.fixedPoint()), [$0])[0] }
        let engine = vision.engine(configuration, fixture.sealed(), scheduler: Scheduler(tokensPerStep: 5))
        #expect(try run(engine, prompts) == alone)
    }

    @Test(
        "the worker sees of two pictures the same requests",
        arguments: ["llava", "gemma3-pictures", "siglip"])
    func shapes(name: String) throws {
        let vision = VisionCase(name: name)
        let expected = try vision.expected()
        let fixture = try SealedFixture(directory: vision.directory)
        let pictures = try (0..<2).map { try expected.pixels($0) }
        let seen = try pictures.map { pixels in
            let link = RecordingLink(fixture.worker)
            _ = try fixture.sealed([link]).compute(
                picture: pixels.values[..<(pixels.values.count / pixels.count)])
            return link.seen.withLock { $0 }
        }
        #expect(
            seen[0].map(\.shape) == seen[1].map(\.shape)
                && seen[0].count == 4 * (fixture.checkpoint.configuration.vision?.encoder.blockCount ?? 0))
        // What is sent of one picture looks like nothing that is sent of another.
        #expect(!zip(seen[0], seen[1]).contains { $0.0.words == $0.1.words })
    }

    @Test("profile scx refuses models that take pictures, and says why", arguments: VisionCase.all)
    func scx(_ vision: VisionCase) throws {
        let checkpoint = try Checkpoint(directory: vision.directory)
        let error = #expect(throws: CheckpointError.self) { try ScxOptions.check(checkpoint) }
        #expect(error.map { "\($0)" }?.contains("its pictures go through an encoder") == true)
    }

    @Test("every tensor of a checkpoint is used or known to be left out", arguments: VisionCase.all)
    func tensors(_ vision: VisionCase) throws {
        let checkpoint = try Checkpoint(directory: vision.directory)
        try checkpoint.validate()
        #expect(checkpoint.unexpectedTensors().isEmpty)
        #expect(checkpoint.configuration.parameterCount > 0)
    }

    @Test("pictures and prompts that do not fit the model are refused by one line")
    func refused() throws {
        func refuses(
            _ name: String, _ request: GenerationRequest, _ text: String,
            in folder: String = VisionCase.folder
        ) throws {
            let fixture = try SealedFixture(directory: folder + "/" + name)
            let engine = VisionCase(name: name).engine(
                fixture.checkpoint.configuration, fixture.fixedPoint())
            let error = #expect(throws: EngineError.self) { try engine.submit(request) }
            let line = error.map { "\($0)" } ?? ""
            #expect(line.contains(text) && !line.contains("\n"), "\(line)")
        }
        func pixels(_ count: Int, _ channels: Int, _ size: Int, _ value: Float = 0.5) -> ImagePixels {
            ImagePixels(
                count: count, channels: channels, height: size, width: size,
                values: Array(repeating: value, count: count * channels * size * size))
        }
        let prompt = try VisionCase(name: "llava").expected().prompt(0)
        var request = prompt.request(1)
        request.pictures = [pixels(1, 3, 16)]
        try refuses("llava", request, "32 picture tokens, and its 1 picture(s) need 16")
        request.pictures = []
        try refuses("llava", request, "32 picture tokens, and its 0 picture(s) need 0")
        request.pictures = [pixels(2, 3, 24)]
        try refuses("llava", request, "3 x 24 x 24 pixels")
        request.pictures = [pixels(2, 1, 16)]
        try refuses("llava", request, "1 x 16 x 16 pixels")
        request.pictures = [pixels(2, 3, 16, .nan)]
        try refuses("llava", request, "no numbers")
        request.pictures = [pixels(2, 3, 16, 1e30)]
        try refuses("llava", request, "no numbers")
        try refuses("llava", GenerationRequest(pictures: pixels(1, 3, 16)), "generates from pictures")
        var adjacent = greedy([1] + Array(repeating: 90, count: 12) + [2], 1)
        adjacent.pictures = [pixels(3, 3, 16)]
        try refuses("gemma3-pictures", adjacent, "12 picture tokens one after the other")
        try refuses("vit", greedy([1, 2], 4), "takes pictures alone")
        try refuses("vit", GenerationRequest(pictures: pixels(1, 3, 17)), "3 x 17 x 17 pixels")
        request.pictures = [pixels(2, 3, 16)]
        try refuses("llama-gqa2", request, "takes no pictures", in: TinyModel.folder.path)
    }

    @Test(
        "a prompt that is continued keeps its pictures, and never takes those of another",
        arguments: ["llava", "gemma3-pictures"])
    func continued(name: String) throws {
        let vision = VisionCase(name: name)
        let expected = try vision.expected()
        let (checkpoint, forward) = try vision.plain()
        let (one, other) = (try expected.prompt(0), try expected.prompt(1))
        let firstPicture = try #require(one.tokens.firstIndex(of: 90))
        func fresh(_ request: GenerationRequest) throws -> [Int32] {
            try run(vision.engine(checkpoint.configuration, vision.plain().forward), [request])[0]
        }
        for (next, isSame) in [(one, true), (other, false)] {
            let engine = vision.engine(checkpoint.configuration, forward)
            let earlier = try engine.submit(one.request(5))
            try engine.run(earlier) { _ in true }
            var request = next.request(9)
            request.prompt += [3, 1, 4]
            let later = try engine.submit(request, continuing: earlier)
            var (found, cached): ([Int32], Int) = ([], 0)
            try engine.run(later) { event in
                if let token = event.token { found.append(token.id) }
                cached = event.usage.cachedTokens
                return true
            }
            #expect(try found == fresh(request))
            #expect(isSame ? cached >= one.tokens.count : cached == firstPicture, "\(cached) tokens")
        }
    }

    @Test("a picture that has seen the one after it is computed anew where that one is missing")
    func adjacent() throws {
        let vision = VisionCase(name: "gemma3-pictures")
        let prompt = try vision.expected().prompt(0)
        let given = try #require(prompt.pictures)
        let (checkpoint, forward) = try vision.plain()
        let each = 4
        func pictures(_ count: Int) -> ImagePixels {
            ImagePixels(
                count: count, channels: given.channels, height: given.height, width: given.width,
                values: Array(given.values.prefix(count * given.values.count / given.count)))
        }
        func request(_ count: Int) -> GenerationRequest {
            var request = greedy([1] + [Int32](repeating: 90, count: count * each) + [2, 7], 9)
            request.pictures = [pictures(count)]
            return request
        }
        let engine = vision.engine(checkpoint.configuration, forward)
        let earlier = try engine.submit(request(2))
        try engine.run(earlier) { _ in true }
        var (found, cached): ([Int32], Int) = ([], 0)
        try engine.run(engine.submit(request(1), continuing: earlier)) { event in
            if let token = event.token { found.append(token.id) }
            cached = event.usage.cachedTokens
            return true
        }
        let fresh = try run(vision.engine(checkpoint.configuration, vision.plain().forward), [request(1)])[0]
        #expect(found == fresh && cached == 1, "\(cached) tokens")
    }

    @Test("a prompt that goes on after its pictures does not compute them again")
    func keptRows() throws {
        let vision = VisionCase(name: "llava")
        let prompt = try vision.expected().prompt(0)
        let blocks = try Checkpoint(directory: vision.directory).configuration.towerBlocks
        var link: CountingLink?
        let (checkpoint, forward) = try vision.plain {
            let counting = CountingLink($0, blocks)
            link = counting
            return counting
        }
        let engine = vision.engine(checkpoint.configuration, forward)
        let earlier = try engine.submit(prompt.request(5))
        try engine.run(earlier) { _ in true }
        let first = link?.count
        var request = prompt.request(5)
        request.prompt += [3, 1, 4]
        try engine.run(engine.submit(request, continuing: earlier)) { _ in true }
        #expect(first == 2 && link?.count == first)
    }

    @Test("the engine's loop shares no picture between requests of the same tokens")
    func loop() async throws {
        let vision = VisionCase(name: "llava")
        let expected = try vision.expected()
        let (checkpoint, forward) = try vision.plain()
        let loop = EngineLoop(limits: .unhurried) { vision.engine(checkpoint.configuration, forward) }
        #expect(loop.pictureShape?.token == 90 && loop.pictureShape?.tokensPerPicture == 16)
        let owner = Owner(salt: "shared")
        for number in [0, 1, 0, 2] {
            let prompt = try expected.prompt(number)
            var found: [Int32] = []
            for try await event in try loop.submit(prompt.request(48), owner: owner) {
                if let token = event.token { found.append(token.id) }
            }
            #expect(found == prompt.greedy)
        }
    }

    @Test(
        "when the worker is lost, before, between and after pictures, the answer is the same",
        arguments: [0, 1, 2, 3, 5, 9])
    func lost(after: Int) throws {
        let vision = VisionCase(name: "gemma3-pictures")
        let expected = try vision.expected()
        let (checkpoint, forward) = try vision.plain { LosingLink($0, after: after) }
        let prompts = try [0, 2].map { try expected.prompt($0) }
        let engine = vision.engine(checkpoint.configuration, forward)
        #expect(try run(engine, prompts.map { $0.request(48) }) == prompts.map(\.greedy))
        #expect(engine.rebuilds > 0)
    }

    @Test("drafts change no token of a prompt with pictures", arguments: ["llava", "gemma3-pictures"])
    func drafts(name: String) throws {
        let vision = VisionCase(name: name)
        let expected = try vision.expected()
        let (checkpoint, forward) = try vision.plain()
        let prompts = try (0..<2).map { try expected.prompt($0) }
        let engine = vision.engine(checkpoint.configuration, forward, drafter: NGramDrafter(longest: 4))
        #expect(try run(engine, prompts.map { $0.request(48) }) == prompts.map(\.greedy))
    }

    @Test(
        "keys and values in every format take pictures, alike in profiles sealed and fixed-point",
        arguments: LayerCache.Format.allCases)
    func cacheFormats(format: LayerCache.Format) throws {
        let vision = VisionCase(name: "gemma3-pictures")
        let prompt = try vision.expected().prompt(0)
        let fixture = try SealedFixture(directory: vision.directory)
        var options = RingOptions()
        options.cacheFormat = format
        let found = try logits(prompt, fixture.sealed(options: options))
        let expected = try logits(prompt, fixture.fixedPoint(options))
        #expect(found.map(\.bitPattern) == expected.map(\.bitPattern))
        #expect(found.allSatisfy { $0.isFinite })
    }
}

/// What a worker sees of requests.
private final class RecordingLink: WorkerLink {
    struct Seen {
        let shape: String
        let words: [UInt32]
    }

    private let inner: any WorkerLink
    let seen = Mutex<[Seen]>([])

    init(_ inner: any WorkerLink) { self.inner = inner }

    var traffic: Traffic { inner.traffic }

    func exchange(_ request: Request) throws(LinkError) -> Answer {
        if case .ring(let tensor) = request.payload {
            let entry = Seen(
                shape: "\(request.operation) \(tensor.rows) x \(tensor.channels)", words: tensor.values)
            seen.withLock { $0.append(entry) }
        }
        return try inner.exchange(request)
    }
}

/// Counts the requests that compute pictures.
private final class CountingLink: WorkerLink {
    private let inner: any WorkerLink
    private let blocks: Range<Int>
    private let counted = Mutex(0)

    init(_ inner: any WorkerLink, _ blocks: Range<Int>) { (self.inner, self.blocks) = (inner, blocks) }

    var traffic: Traffic { inner.traffic }
    var count: Int { counted.withLock { $0 } }

    func exchange(_ request: Request) throws(LinkError) -> Answer {
        if case .middle(let range, _) = request.operation, blocks.contains(range.lowerBound) {
            counted.withLock { $0 += 1 }
        }
        return try inner.exchange(request)
    }
}

/// A link that is lost once, after so many exchanges, together with all that the worker held.
private final class LosingLink: WorkerLink {
    private let inner: any WorkerLink
    private let left: Mutex<Int>

    init(_ inner: any WorkerLink, after: Int) {
        self.inner = inner
        left = Mutex(after)
    }

    var traffic: Traffic { inner.traffic }

    func exchange(_ request: Request) throws(LinkError) -> Answer {
        let isLost = left.withLock { left in
            defer { left -= 1 }
            return left == 0
        }
        guard !isLost else { throw .disconnected("for the test") }
        return try inner.exchange(request)
    }
}
