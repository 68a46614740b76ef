#if os(Linux)
    import Glibc

    /// Copies a model from a disk into memory, before anything reads it.
    ///
    /// The host owns the disk and can change it at any time: what `scx` computes a digest of, and what it computes with, must
    /// be the same bytes. So both are the copy, which the host cannot change.
    struct ModelDisk {
        private let path: String
        private let file: Int32
        private var part = [UInt8](repeating: 0, count: 1 << 20)

        /// Opens a disk, which a driver may still be looking for.
        ///
        /// - Parameter path: The device.
        /// - Throws: ``InitError`` where it is not there after ten seconds, or cannot be read.
        init(_ path: String) throws(InitError) {
            self.path = path
            guard Waiting.until({ unsafe access(path, F_OK) == 0 }) else {
                throw InitError("'scx.model=\(path)': there is no such disk")
            }
            file = unsafe open(path, O_RDONLY | O_CLOEXEC)
            guard file >= 0 else { throw InitError("\(path): cannot be opened", code: errno) }
        }

        /// Copies all files, which root alone can change afterwards, and closes the disk.
        ///
        /// - Parameter directory: Where to; must be there, and in memory.
        /// - Returns: How many files, and their bytes.
        /// - Throws: ``InitError`` that names the disk.
        mutating func copy(to directory: String) throws(InitError) -> (files: Int, bytes: Int) {
            defer { close(file) }
            var (files, bytes) = (0, 0)
            while true {
                let entry: ArchiveEntry?
                do { entry = try ArchiveEntry(try take(ArchiveEntry.blockSize)) } catch {
                    throw InitError("\(path): \(error)")
                }
                guard let entry else { break }
                files += 1
                guard files <= ArchiveEntry.countLimit else {
                    throw InitError("\(path): has more than \(ArchiveEntry.countLimit) files")
                }
                try copy(entry, to: directory)
                bytes += entry.size
            }
            guard files > 0 else { throw InitError("\(path): holds no file") }
            return (files, bytes)
        }

        private mutating func copy(_ entry: ArchiveEntry, to directory: String) throws(InitError) {
            var place = directory
            for name in entry.path.split(separator: "/").dropLast() {
                place += "/\(name)"
                guard unsafe mkdir(place, 0o755) == 0 || errno == EEXIST else {
                    throw InitError("\(place): cannot be made", code: errno)
                }
            }
            let target = "\(directory)/\(entry.path)"
            let copy = unsafe open(target, O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0o444)
            guard copy >= 0 else { throw InitError("\(target): cannot be made", code: errno) }
            defer { close(copy) }
            var left = entry.size
            while left > 0 {
                let count = try read(left)
                guard count > 0 else { throw InitError("\(path): ends in the middle of '\(entry.path)'") }
                try write(count, to: copy, target)
                left -= count
            }
            _ = try take(entry.padding)
        }

        /// Reads up to `count` bytes into the beginning of `part`; 0 at the end of the disk.
        private mutating func read(_ count: Int) throws(InitError) -> Int {
            let file = file
            let got = unsafe part.withUnsafeMutableBytes {
                unsafe Glibc.read(file, $0.baseAddress, min($0.count, count))
            }
            guard got >= 0 else { throw InitError("\(path): cannot be read", code: errno) }
            return got
        }

        /// Exactly so many bytes, up to one block.
        private mutating func take(_ count: Int) throws(InitError) -> [UInt8] {
            var all: [UInt8] = []
            while all.count < count {
                let got = try read(count - all.count)
                guard got > 0 else { throw InitError("ends too early") }
                all += part[..<got]
            }
            return all
        }

        private func write(_ count: Int, to copy: Int32, _ target: String) throws(InitError) {
            var done = 0
            while done < count {
                let put = unsafe part.withUnsafeBytes {
                    unsafe Glibc.write(copy, $0.baseAddress.map { unsafe $0 + done }, count - done)
                }
                guard put > 0 else {
                    throw InitError("\(target): cannot be written; the model must fit in memory", code: errno)
                }
                done += put
            }
        }
    }

    /// Waits for what drivers do in their own time.
    enum Waiting {
        /// Asks every twentieth of a second whether something is so, for ten seconds at the most.
        static func until(_ condition: () -> Bool) -> Bool {
            for _ in 0..<200 {
                if condition() { return true }
                usleep(50_000)
            }
            return condition()
        }
    }
#endif
