import Foundation
import SCXEncoding
import Synchronization
import Testing

@Suite("order of pads in a bank")
struct PadBankOrderTests {
    @Test("a batch that is being burnt goes ahead of what is multiplied meanwhile")
    func lastFile() throws {
        let place = PadFixture.Place()
        let model = try PadFixture.model()
        try PadBankTests.fill(place, model, tokens: 4)
        let bank = Mutex<PadBank?>(nil)
        let prepared = DispatchSemaphore(value: 0)
        let isFirst = Mutex(true)
        let opened = try PadFixture.open(place) { step in
            guard case .record = step, let bank = bank.withLock({ $0 }), isFirst.withLock({ $0 }) else {
                return 0
            }
            isFirst.withLock { $0 = false }
            // The batch is not in the store any more, and not yet in memory.
            let thread = Thread {
                _ = try? bank.prepareNext()
                prepared.signal()
            }
            thread.start()
            _ = prepared.wait(timeout: .now() + 0.3)
            return 0
        }
        var limits = PadBank.Limits()
        (limits.rows, limits.loadedRows, limits.batchRows) = (4, 4, 4)
        let made = PadBank(
            sites: [model.sites[0]], sources: [model.source], store: opened.store, limits: limits)
        bank.withLock { $0 = made }
        defer { bank.withLock { $0 = nil } }
        try PadBankTests.take(made, 1, model.sites[0], model.source)
        #expect(made.use.banked == 1 && made.use.loaded == 4 && !isFirst.withLock { $0 })
        try PadBankTests.take(made, 3, model.sites[0], model.source)
        #expect(made.use.banked == 4)
    }
}
