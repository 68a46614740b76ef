import Foundation

/// The server's processes on this machine, according to `/proc`.
struct LoadServer: Sendable {
    let process: Int32

    /// How many bytes of memory are resident.
    struct Memory: Equatable, Sendable {
        var server = 0
        var children = 0

        var total: Int { server + children }
    }

    init(process: Int32) { self.process = process }

    /// Finds the process that listens on a port of this machine.
    init?(listeningOn port: Int) {
        let suffix = ":" + String(format: "%04X", port)
        var sockets: Set<String> = []
        for file in ["/proc/net/tcp", "/proc/net/tcp6"] {
            for line in Self.text(file).split(separator: "\n").dropFirst() {
                let words = line.split(separator: " ")
                // The columns are local address, state (0A is "listen") and inode.
                if words.count > 9, words[1].hasSuffix(suffix), words[3] == "0A" {
                    sockets.insert("socket:[\(words[9])]")
                }
            }
        }
        guard !sockets.isEmpty else { return nil }
        let files = FileManager.default
        let found = Self.processes.first { process in
            let folder = "/proc/\(process)/fd"
            return ((try? files.contentsOfDirectory(atPath: folder)) ?? []).contains {
                let place = "\(folder)/\($0)"
                return (try? files.destinationOfSymbolicLink(atPath: place)).map(sockets.contains) ?? false
            }
        }
        guard let found else { return nil }
        process = found
    }

    /// The memory of the server now, and that of all its child processes; nil when it has ended.
    var memory: Memory? {
        guard let own = Self.residentBytes(process) else { return nil }
        return Memory(
            server: own, children: below.reduce(0) { $0 + (Self.residentBytes($1.process) ?? 0) })
    }

    /// The workers that the server started.
    var workers: [Int32] { below.filter { $0.name == "scx-worker" }.map(\.process) }

    private var below: [(process: Int32, name: Substring)] {
        var children: [Int32: [(process: Int32, name: Substring)]] = [:]
        for process in Self.processes {
            // The line is `number (name) state parent …`; the name may contain any character.
            let line = Self.text("/proc/\(process)/stat")
            guard let open = line.firstIndex(of: "("), let end = line.lastIndex(of: ")"), open < end,
                let parent = line[end...].split(separator: " ").dropFirst(2).first.flatMap({ Int32($0) })
            else { continue }
            children[parent, default: []].append((process, line[line.index(after: open)..<end]))
        }
        var found = children[process] ?? []
        var next = 0
        while next < found.count {
            found += children[found[next].process] ?? []
            next += 1
        }
        return found
    }

    private static var processes: [Int32] {
        ((try? FileManager.default.contentsOfDirectory(atPath: "/proc")) ?? []).compactMap { Int32($0) }
    }

    private static func residentBytes(_ process: Int32) -> Int? {
        let line = text("/proc/\(process)/status").split(separator: "\n").first { $0.hasPrefix("VmRSS:") }
        let kibibytes = line?.split(whereSeparator: \.isWhitespace).dropFirst().first.flatMap { Int($0) }
        return kibibytes.map { $0 << 10 }
    }

    private static func text(_ file: String) -> String {
        String(decoding: FileManager.default.contents(atPath: file) ?? Data(), as: UTF8.self)
    }
}
