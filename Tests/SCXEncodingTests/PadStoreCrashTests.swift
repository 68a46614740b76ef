import Foundation
import SCXEncoding
import SCXInference
import SCXLink
import Synchronization
import Testing

#if canImport(Glibc)
    import Glibc
#elseif canImport(Darwin)
    import Darwin
#endif

@Suite("pads on disk and crashes")
struct PadStoreCrashTests {
    typealias Place = PadFixture.Place

    /// A directory as a crash may leave it: by the name its content; and what is known of the bank elsewhere.
    struct Image {
        var files: [String: Data] = [:]
        var registry = Data()
    }

    /// Follows what is done to a directory, and knows at each step what the loss of power would leave of it.
    final class Disk: Sendable {
        private struct State {
            var pending: PadStore.Step?
            /// By the number of the file: what of it is on the disk for sure.
            var contents: [UInt64: Data] = [:]
            /// Names that are on the disk for sure.
            var names: [String: UInt64] = [:]
            /// What is on the disk for sure of the file elsewhere.
            var registry = Data()
            var images: [(after: Int, image: Image)] = []
            var handedOut: [PadIdentity] = []
        }

        private let path: String
        private let registry: String
        private let state = Mutex(State())

        init(_ place: Place) throws { (path, registry) = (place.path, try place.registryFile()) }

        var images: [(after: Int, image: Image)] { state.withLock { $0.images } }
        var handedOut: [PadIdentity] { state.withLock { $0.handedOut } }

        func use(_ pads: [PadIdentity]) { state.withLock { $0.handedOut += pads } }

        /// What lies there when a bank was opened is taken for durable.
        func start() {
            let (names, contents) = current()
            let known = (try? PadFixture.read(registry)) ?? Data()
            state.withLock {
                ($0.names, $0.contents, $0.registry, $0.pending) = (names, contents, known, nil)
            }
        }

        /// Before a step, and in the end: the step before it is done.
        func step(_ next: PadStore.Step?) {
            let (names, contents) = current()
            let known = (try? PadFixture.read(registry)) ?? Data()
            state.withLock { state in
                switch state.pending {
                case .synchronize(let path):
                    let name = URL(filePath: path).lastPathComponent
                    if let number = names[name] { state.contents[number] = contents[number] }
                case .record:
                    if let number = names["burnt"] { state.contents[number] = contents[number] }
                case .synchronizeDirectory: state.names = names
                default: break
                }
                state.pending = next
                for files in images(names, contents, state) {
                    // Also where it is on another disk, which has more or less of its writes.
                    for known in [known, state.registry] {
                        state.images.append((state.handedOut.count, Image(files: files, registry: known)))
                    }
                }
                // Only when a run begins it is on the disk for sure.
                if state.handedOut.isEmpty { state.registry = known }
            }
        }

        private func images(
            _ names: [String: UInt64], _ contents: [UInt64: Data], _ state: State
        ) -> [[String: Data]] {
            var images: [[String: Data]] = []
            for names in [names, state.names] {
                for isDurable in [false, true] {
                    var image: [String: Data] = [:]
                    for (name, number) in names {
                        // A file whose bytes never reached the disk can have a name there already.
                        image[name] =
                            isDurable
                            ? state.contents[number] ?? Data()
                            : contents[number] ?? state.contents[number] ?? Data()
                    }
                    images.append(image)
                    // The next record may be there in part.
                    if state.pending == .record, let ledger = image["burnt"] {
                        for torn in [Data(repeating: 5, count: 17), Data(count: 32)] {
                            image["burnt"] = ledger + torn
                            images.append(image)
                        }
                    }
                }
            }
            return images
        }

        private func current() -> (names: [String: UInt64], contents: [UInt64: Data]) {
            var names: [String: UInt64] = [:]
            var contents: [UInt64: Data] = [:]
            for name in (try? FileManager.default.contentsOfDirectory(atPath: path)) ?? [] {
                let file = "\(path)/\(name)"
                guard
                    let number = (try? FileManager.default.attributesOfItem(atPath: file))?[.systemFileNumber]
                        as? UInt64
                else { continue }
                names[name] = number
                contents[number] = try? PadFixture.read(file)
            }
            return (names, contents)
        }

        /// Makes the directory and what is known of it what an image says.
        func restore(_ image: Image) throws {
            for name in try FileManager.default.contentsOfDirectory(atPath: path)
            where image.files[name] == nil {
                try FileManager.default.removeItem(atPath: "\(path)/\(name)")
            }
            for (name, content) in image.files { try PadFixture.write(content, "\(path)/\(name)") }
            try PadFixture.overwrite(image.registry, registry)
        }
    }

    @Test("after a crash or a loss of power at any step no pad is given out a second time")
    func everyStep() throws {
        let place = Place()
        let model = try PadFixture.model()
        let (site, head, source) = (model.sites[0], model.sites[2], model.source)
        do { _ = try PadFixture.open(place) }
        let disk = try Disk(place)
        disk.start()
        do {
            let opened = try PadFixture.open(place) { step in
                disk.step(step)
                return 0
            }
            let store = opened.store
            func take(_ site: RingSite) throws {
                let pads = try #require(store.takeIdentities(site, source))
                #expect(pads.count == 3)
                // Nothing was used when the last step was taken; from now on these are.
                disk.use(pads)
            }
            for _ in 0..<3 { try store.fill(site, source) }
            try store.fill(head, source)
            try take(site)
            try take(head)
            try store.fill(head, source)
            try take(site)
            try store.fill(site, source, first: 3)
            try take(site)
            try take(head)
            try take(site)
            disk.step(nil)
            #expect(opened.warnings.all.isEmpty)
        }
        let used = disk.handedOut
        #expect(used.count == 18 && Set(used).count == 18)
        #expect(disk.images.count > 400)
        var survivors = 0
        for (after, image) in disk.images {
            try disk.restore(image)
            let opened = try PadFixture.open(place)
            // Twice, since a start may itself be what puts things in order.
            let found = opened.store.drain(model)
            survivors += found.count
            #expect(Set(found).count == found.count)
            #expect(Set(found).isDisjoint(with: used.prefix(after)))
            try opened.store.fill(site, source)
            #expect(opened.store.takeIdentities(site, source)?.count == 3)
        }
        #expect(survivors > 0)
    }

    @Test("a step that fails loses one batch at most, and nothing is given out that was not burnt")
    func everyFailure() throws {
        let model = try PadFixture.model()
        let (site, source) = (model.sites[0], model.source)
        var steps = 0
        for failing in 0..<1_000 {
            let place = Place()
            let counter = Mutex(0)
            var used: [PadIdentity] = []
            var added = 0
            do {
                let opened = try PadFixture.open(place) { _ in
                    counter.withLock { count in
                        defer { count += 1 }
                        return count == failing ? ENOSPC : 0
                    }
                }
                for _ in 0..<3 {
                    do {
                        try opened.store.fill(site, source)
                        added += 1
                    } catch let error as VaultError {
                        #expect(error.description.hasSuffix("No space left on device"))
                    }
                }
                while let pads = opened.store.takeIdentities(site, source) { used += pads }
                #expect(opened.warnings.all.count == (added == 3 && used.count < 9 ? 1 : 0))
            } catch let error as VaultError {
                #expect(error.description.hasSuffix("No space left on device") && failing < 5 + 6)
            }
            steps = counter.withLock { $0 }
            let rest = try PadFixture.open(place).store.drain(model)
            #expect(Set(used + rest).count == used.count + rest.count)
            #expect(used.count + rest.count >= 3 * (added == 3 ? 2 : added) && used.count + rest.count <= 9)
            if failing >= steps {
                #expect(used.count == 9)
                break
            }
        }
        // To make a bank, to open it, for each batch that is added, and for each that is taken.
        #expect(steps == 5 + 6 + 3 * 5 + 3 * 4)
    }

    /// Fills and takes until the process is killed at a random moment after a number of steps.
    private static func workUntilKilled(path: String, log: String, steps: Int) throws {
        let model = try PadFixture.model()
        let descriptor = unsafe open(log, O_WRONLY | O_CREAT | O_APPEND, 0o600)
        let counter = Mutex(0)
        let opened = try PadFixture.open(path) { _ in
            if counter.withLock({ count in
                count += 1
                return count == steps
            }) {
                // From here on another thread decides, in the middle of whatever this one does.
                let thread = Thread {
                    usleep(UInt32.random(in: 0...1_500))
                    kill(getpid(), SIGKILL)
                }
                thread.start()
            }
            return 0
        }
        while true {
            for site in model.sites {
                if opened.store.rows(of: site.site) < 6 || Bool.random() {
                    try opened.store.fill(site, model.source)
                }
                if Bool.random(), let pads = opened.store.takeIdentities(site, model.source) {
                    var lines = ""
                    for pad in pads { lines += "\(Data(pad.seed).base64EncodedString()) \(pad.row)\n" }
                    if pads.isEmpty { lines = "wrong\n" }
                    // One write, before the pads are of use to anybody.
                    let bytes = Array(lines.utf8)
                    guard unsafe write(descriptor, bytes, bytes.count) == bytes.count else { exit(3) }
                }
            }
        }
    }

    @Test("processes that are killed at random moments never hand out a pad twice", arguments: 0..<8)
    func kills(round: Int) async throws {
        let place = Place()
        let log = place.path + ".log"
        defer { try? FileManager.default.removeItem(atPath: log) }
        let path = place.path
        for _ in 0..<26 {
            let steps = Int.random(in: 1...60)
            await #expect(processExitsWith: .signal(SIGKILL)) {
                [path = path as String, log = log as String, steps = steps as Int] in
                try Self.workUntilKilled(path: path, log: log, steps: steps)
            }
        }
        var used = try String(contentsOfFile: log, encoding: .utf8).split(separator: "\n").map(String.init)
        let opened = try PadFixture.open(path)
        used += try opened.store.drain(PadFixture.model()).map {
            "\(Data($0.seed).base64EncodedString()) \($0.row)"
        }
        #expect(!used.contains("wrong"))
        #expect(opened.warnings.all.isEmpty)
        #expect(used.count > 100 && Set(used).count == used.count)
    }
}
