package import SCXProfiles

/// A way to split the computation between this program and the worker; it decides what the worker gets to see.
public enum Profile: String, CaseIterable, Sendable {
    /// Every row goes out under a one-time pad, and every product that comes back is verified.
    case sealed
    /// The published scheme SCX: permuted and noised rows. It hides **nothing** from a worker that keeps and analyses what
    /// it receives; it is here to be studied.
    case scx
    /// Activations in clear: hides nothing. The baseline of measurements.
    case plain
    /// This program computes everything and asks no worker; computes the same integers as ``sealed``.
    case fixedPoint = "fixed-point"

    /// What the worker sees of this profile, what is hidden from it, and what it learns.
    public var disclosure: Disclosure { disclosure(owners: nil) }

    func disclosure(owners: String?) -> Disclosure {
        let facts = facts
        return Disclosure(
            profile: self, sees: facts.sees, hides: facts.hides, leaks: facts.leaks, owners: owners)
    }

    /// What it shows and hides.
    package var facts: ProfileFacts {
        // All profiles are there, which a test sees to.
        ProfileFacts.all.first { $0.name == rawValue }
            ?? ProfileFacts(name: rawValue, sees: "everything", hides: "nothing", leaks: "everything")
    }

    /// Whether its products are of integers modulo 2³², for which workers hold the weights as int8.
    package var isRing: Bool { self == .sealed || self == .fixedPoint }
}

/// What a profile shows and hides, in words for people.
public struct Disclosure: Equatable, Sendable, CustomStringConvertible {
    /// The profile that it is about.
    public let profile: Profile
    /// What the worker gets.
    public let sees: String
    /// What is hidden from the worker.
    public let hides: String
    /// What the worker learns.
    public let leaks: String
    /// Which owners must not collude; nil for a profile whose pads, if it has any, no other owner makes.
    public let owners: String?

    /// All of it in one line.
    public var description: String {
        let line = "profile \(profile.rawValue): the worker sees \(sees); hidden: \(hides); leaked: \(leaks)"
        return owners.map { "\(line); \($0)" } ?? line
    }
}

/// What crossed between this program and its main workers.
public struct Crossing: Equatable, Sendable, CustomStringConvertible {
    /// Requests that workers answered.
    public internal(set) var exchanges = 0
    /// Bytes of tensors to the workers.
    public internal(set) var bytesSent = 0
    /// Bytes of tensors from the workers.
    public internal(set) var bytesReceived = 0

    /// All of it in one line.
    public var description: String {
        "\(exchanges) exchanges, \(bytesSent) bytes to the worker, \(bytesReceived) bytes from it"
    }
}
