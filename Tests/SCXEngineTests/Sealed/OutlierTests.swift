import Foundation
import SCXEncoding
import SCXEngine
import SCXInference
import SCXLink
import SCXProfiles
import SCXWorker
import Testing

@Suite("profile sealed: channels that outweigh the others")
struct OutlierTests {
    /// A random model of two blocks with outlying channels.
    private func fixture(_ outliers: SyntheticOutliers?) throws -> SealedFixture {
        var configuration = try #require(SyntheticShape.all.first { $0.name == "tiny-llama" }).configuration
        // So wide that most groups of inputs, which have a scale of their own in profile plain, have no outlier.
        (configuration.hiddenSize, configuration.feedForwardSize) = (1_024, 1_536)
        (configuration.headCount, configuration.keyValueHeadCount, configuration.headSize) = (16, 8, 64)
        configuration.rope.rotaryDimension = 64
        let folder = FileManager.default.temporaryDirectory.appending(path: "scx-\(UUID().uuidString)").path
        defer { try? FileManager.default.removeItem(atPath: folder) }
        try SyntheticCheckpoint.write(
            SyntheticShape(name: "outliers", configuration: configuration), to: folder, seed: 5, type: .f32,
            outliers: outliers, pool: SealedFixture.pool)
        return try SealedFixture(directory: folder)
    }

    private struct Logits {
        let exact: [Float]
        let int8: [Float]
        let sealed: [Float]

        init(_ fixture: SealedFixture, _ tokens: [Int32]) throws {
            func plain(_ decoder: Decoder) throws -> [Float] {
                try fixture.engine(
                    PlainForwardPass(
                        embedding: try TokenEmbedding(fixture.checkpoint),
                        configuration: fixture.checkpoint.configuration,
                        link: InProcessLink(Worker(model: decoder)))
                ).logits(of: tokens)
            }
            exact = try plain(Decoder(fixture.checkpoint, format: .f32, pool: SealedFixture.pool))
            int8 = try plain(fixture.weights)
            sealed = try fixture.engine(fixture.fixedPoint()).logits(of: tokens)
        }

        /// The length of the difference from float32's logits, over the length of those.
        func error(_ logits: [Float]) -> Double {
            func length(_ values: some Sequence<Float>) -> Double {
                values.reduce(0) { $0 + Double($1) * Double($1) }.squareRoot()
            }
            return length(zip(exact, logits).lazy.map { $0 - $1 }) / length(exact)
        }
    }

    @Test(
        "logits are no further from float32's than those of int8 weights in profile plain",
        arguments: [30, 100, 300, 1_000] as [Float], [false, true])
    func accuracy(strength: Float, isCompensated: Bool) throws {
        let fixture = try fixture(
            SyntheticOutliers(strength: strength, channels: 4, isCompensated: isCompensated))
        let logits = try Logits(fixture, fixture.prompt(48))
        let (int8, sealed) = (logits.error(logits.int8), logits.error(logits.sealed))
        #expect(sealed.isFinite && sealed <= int8, "\(sealed) against \(int8)")
    }
}
