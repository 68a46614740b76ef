import Foundation
import SCXLink

extension ConformanceCheck {
    /// Death and restart.
    static let restart: [ConformanceCheck] = [
        ConformanceCheck(
            1101, .restart, "clients learn at once that the worker was killed, and the next one serves"
        ) {
            subject in
            let process = try subject.needsProcess()
            let session = try subject.session()
            if subject.canKeep { try session.compare(subject.begin(slot: 1, rows: 3)) }
            // One client waits for answers, one is in the middle of a message, one has asked nothing.
            let (waiting, sending, idle) = (try subject.open(), try subject.open(), try subject.open())
            for i in 0..<subject.hello.window { try waiting.send(subject.good(rows: 500, seed: UInt64(i))) }
            let half = subject.good(rows: 500, seed: 1).frames(number: 2)[0]
            try sending.write(Array(half.prefix(half.count / 2)))
            try demand(process.kill(), "the worker's process had ended before")
            var answers = 0
            for (name, client) in [("waits", waiting), ("sends", sending), ("is idle", idle)] {
                answers += try client.expectDeath(name)
            }
            try subject.restart()
            try subject.proveServing()
            guard subject.canKeep else { return "\(answers) answers had come" }
            let client = try subject.open()
            try client.askInVain(subject.goOn(slot: 1, position: 3), "a slot of the process that was killed")
            return "\(answers) answers had come; its slots are gone"
        },
        ConformanceCheck(1102, .restart, "a worker that is killed and started three times serves each time") {
            subject in
            let process = try subject.needsProcess()
            for _ in 0..<3 {
                try demand(process.kill(), "the worker's process had ended before")
                try subject.restart()
                try subject.proveServing()
            }
            return "at the same address"
        },
    ]
}

extension ConformanceSubject {
    fileprivate func needsProcess() throws -> LabProcess {
        guard let process else { throw ConformanceSkip("only a worker that '--start' starts is killed") }
        return process
    }

    /// Starts the worker again, and waits until it listens.
    fileprivate func restart() throws {
        guard let process else { return }
        try process.start()
        try settings.place.waitForWorker(process, patience: patience)
    }
}

extension TestedPlace {
    /// Waits until a process that was started listens.
    func waitForWorker(_ process: LabProcess, patience: Duration) throws {
        let deadline = ContinuousClock.now + patience
        while true {
            do {
                try connect(before: Deadline(after: .seconds(5))).close()
                return
            } catch {
                guard process.number != nil else {
                    throw ConformanceFailure(
                        "the worker ended with status \(process.status) before it listened at \(address): "
                            + process.lastLines)
                }
                guard ContinuousClock.now < deadline else {
                    throw ConformanceFailure(
                        "the worker does not listen at \(address) in \(patience): \(error)")
                }
                usleep(20_000)
            }
        }
    }
}

extension WireClient {
    /// Reads what the worker still said, and demands that the connection is gone then.
    ///
    /// - Returns: How many answers came before.
    fileprivate func expectDeath(_ name: String) throws -> Int {
        var answers = 0
        while true {
            do {
                _ = try receive(atMost: 1 << 28)
                answers += 1
            } catch let error as LinkError {
                guard case .disconnected = error else {
                    throw ConformanceFailure(
                        "the client that \(name) sees no end of the connection: \(error)")
                }
                return answers
            }
        }
    }
}
