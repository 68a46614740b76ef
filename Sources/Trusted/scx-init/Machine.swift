#if os(Linux)
    import CSCXBoot
    import Glibc

    /// What the first process makes of a machine whose kernel has just started.
    enum Machine {
        /// Where reports of the processor are asked for (Linux 6.7 and later, in a confidential guest).
        static let reports = "/sys/kernel/config/tsm/report"
        private static let modules = "/lib/modules/scx"

        /// Mounts what programs expect of Linux, all of it in memory.
        static func mountFileSystems() throws(InitError) {
            try mount("proc", "/proc")
            try mount("sysfs", "/sys")
            try mount("devtmpfs", "/dev", devices: true, "mode=0755")
            for (place, mode) in [("/dev/shm", "1777"), ("/run", "0755"), ("/tmp", "1777")] {
                try mount("tmpfs", place, "mode=\(mode)")
            }
        }

        /// Mounts configfs where the kernel has it, in which reports are made.
        static func mountConfiguration() throws(InitError) {
            let place = "/sys/kernel/config"
            if unsafe access(place, F_OK) == 0 { try mount("configfs", place) }
        }

        /// Mounts a file system, unless the directory is the root of one already.
        static func mount(
            _ kind: String, _ place: String, devices: Bool = false, _ options: String = ""
        ) throws(InitError) {
            guard unsafe mkdir(place, 0o755) == 0 || errno == EEXIST else {
                throw InitError("\(place): cannot be made", code: errno)
            }
            var (own, parent) = (stat(), stat())
            guard unsafe stat(place, &own) == 0, unsafe stat("\(place)/..", &parent) == 0 else {
                throw InitError("\(place): cannot be looked at", code: errno)
            }
            guard own.st_dev == parent.st_dev else { return }
            let result = unsafe cscx_boot_mount(kind, place, devices ? 1 : 0, options)
            guard result == 0 else {
                throw InitError("\(place): \(kind) cannot be mounted", code: result)
            }
        }

        /// Whether this process is the first of a machine, and not of a namespace: settings and modules of a kernel are those
        /// of the whole machine.
        private static var isOwn: Bool {
            var name = [CChar](repeating: 0, count: 64)
            guard unsafe readlink("/proc/self/ns/pid", &name, name.count - 1) > 0 else { return false }
            let text = String(decoding: name.prefix { $0 != 0 }.map { UInt8(bitPattern: $0) }, as: UTF8.self)
            return text == "pid:[4026531836]"  // PROC_PID_INIT_INO of the kernel
        }

        /// Loads the modules of the image, in the order of their names.
        ///
        /// A driver whose device is not there is left out: an image may have those of several kinds of machines.
        static func loadModules() throws(InitError) {
            guard isOwn else { return }
            for name in names(in: modules) {
                let path = "\(modules)/\(name)"
                let file = unsafe open(path, O_RDONLY | O_CLOEXEC)
                guard file >= 0 else { throw InitError("\(path): cannot be opened", code: errno) }
                defer { close(file) }
                let result = cscx_boot_load_module(file)
                guard result == 0 || [-ENODEV, -EEXIST].contains(result) else {
                    throw InitError("\(path): the kernel does not take it", code: result)
                }
            }
        }

        /// Takes from everybody what nothing here needs, and a host at the console or a fault in `scx` might use.
        static func restrictKernel() throws(InitError) {
            guard isOwn else { return }
            _ = cscx_boot_take_keys()
            for (setting, value) in [
                ("kernel/sysrq", "0"), ("kernel/core_pattern", "\n"), ("kernel/kexec_load_disabled", "1"),
                ("kernel/modules_disabled", "1"), ("kernel/dmesg_restrict", "1"),
                ("kernel/kptr_restrict", "2"),
                ("kernel/unprivileged_bpf_disabled", "1"), ("kernel/perf_event_paranoid", "3"),
            ] {
                let path = "/proc/sys/\(setting)"
                // A kernel without the setting has nothing to forbid.
                guard unsafe access(path, F_OK) == 0 else { continue }
                try write(value, to: path)
            }
        }

        static func write(_ text: String, to path: String, make: Bool = false) throws(InitError) {
            let file = unsafe open(path, O_WRONLY | O_CLOEXEC | (make ? O_CREAT | O_TRUNC : 0), 0o644)
            guard file >= 0 else { throw InitError("\(path): cannot be opened", code: errno) }
            defer { close(file) }
            let bytes = Array(text.utf8)
            let put = unsafe bytes.withUnsafeBytes { unsafe Glibc.write(file, $0.baseAddress, $0.count) }
            guard put == bytes.count else { throw InitError("\(path): cannot be written", code: errno) }
        }

        /// The names in a directory in their order; none where there is no such directory.
        static func names(in directory: String) -> [String] {
            guard let stream = unsafe opendir(directory) else { return [] }
            defer { _ = unsafe closedir(stream) }
            var names: [String] = []
            while let entry = unsafe readdir(stream) {
                let name = unsafe withUnsafeBytes(of: entry.pointee.d_name) { bytes in
                    unsafe String(decoding: bytes.prefix { $0 != 0 }, as: UTF8.self)
                }
                if !name.hasPrefix(".") { names.append(name) }
            }
            return names.sorted()
        }

        /// The beginning of a small file of the kernel.
        static func text(of path: String) throws(InitError) -> String {
            let file = unsafe open(path, O_RDONLY | O_CLOEXEC)
            guard file >= 0 else { throw InitError("\(path): cannot be opened", code: errno) }
            defer { close(file) }
            var bytes = [UInt8](repeating: 0, count: 1 << 16)
            let count = unsafe bytes.withUnsafeMutableBytes { unsafe read(file, $0.baseAddress, $0.count) }
            guard count >= 0 else { throw InitError("\(path): cannot be read", code: errno) }
            return String(decoding: bytes[..<count], as: UTF8.self)
        }
    }
#endif
