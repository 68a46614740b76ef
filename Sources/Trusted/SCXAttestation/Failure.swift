/// A check of evidence that did not hold: which one, and in what.
package struct Failure: Hashable, Sendable, CustomStringConvertible {
    package let check: Check
    /// What was found, in one line without values that somebody else could have made long or invisible.
    package let detail: String

    init(_ check: Check, _ detail: String) {
        self.check = check
        self.detail = detail
    }

    package var description: String { "\(check.number) \(check.rawValue): \(detail)" }
}

/// All checks that did not hold; there is at least one.
package struct Failures: Error, Equatable, Sendable, CustomStringConvertible {
    package let all: [Failure]

    /// One check that did not hold.
    package init(_ check: Check, _ detail: String) { all = [Failure(check, detail)] }

    init(_ all: [Failure]) {
        precondition(!all.isEmpty, "Failures: none")
        self.all = all
    }

    package var description: String { all.map(\.description).joined(separator: "\n") }
}

/// Failures as they are found, so that one run names all of them.
struct FailureList {
    private(set) var all: [Failure] = []

    mutating func add(_ check: Check, _ detail: String) {
        let failure = Failure(check, detail)
        if !all.contains(failure) { all.append(failure) }
    }

    mutating func add(_ failures: Failures) {
        add(failures.all)
    }

    mutating func add(_ failures: [Failure]) {
        for failure in failures { add(failure.check, failure.detail) }
    }

    mutating func require(_ condition: Bool, _ check: Check, _ detail: @autoclosure () -> String) {
        if !condition { add(check, detail()) }
    }

    func end() throws(Failures) {
        guard all.isEmpty else { throw Failures(all) }
    }
}
