import SCXInference
import Testing

@Suite("machine probe")
struct LinearProbeTests {
    @Test("finds more than nothing in every format", arguments: InstructionSet.available)
    func positive(isa: InstructionSet) throws {
        let pool = ThreadPool(threads: 2)
        #expect(try MachineProbe.readBandwidth(pool: pool) > 1e8)
        for format in WeightFormat.allCases {
            #expect(MachineProbe.peak(format: format, pool: pool, on: isa) > 1e7)
        }
        #expect(MachineProbe.ringPeak(pool: pool, on: isa) > 1e7)
    }
}
