#if os(Linux)
    import CSCXBoot
    import Glibc

    /// The first process of a machine that runs `scx serve` and nothing else: no shell, no login, no second service.
    ///
    /// What it starts is decided by what is measured at the launch: this file system, and the kernel's command line. When `scx`
    /// ends, for whatever reason, the machine is switched off.
    @main
    struct InitProgram {
        private static let program = "/bin/scx"
        private static let configuration = "/etc/scx/serve.yaml"
        private static let model = "/model"
        /// The user as whom `scx` runs, as in the image for containers.
        private static let user: UInt32 = 10_001
        /// CAP_DAC_OVERRIDE of `linux/capability.h`: files of other users.
        private static let overridesFileRights: UInt64 = 1 << 1

        static func main() {
            guard getpid() == 1 else {
                say("is the first process of a machine or of a namespace, and does nothing else")
                exit(64)
            }
            cscx_boot_block_signals()
            // A session of its own, so that no signal for a group of processes comes in or goes out.
            _ = setsid()
            do { say(try run()) } catch { say("\(error)") }
            let result = cscx_boot_power_off()
            say("\(InitError("the machine cannot be switched off", code: result))")
            // The kernel stops a machine whose first process ends.
        }

        /// - Returns: How `scx` ended.
        private static func run() throws(InitError) -> String {
            try Machine.mountFileSystems()
            let parameters = try KernelParameters(try Machine.text(of: "/proc/cmdline"))
            try Machine.loadModules()
            try Machine.mountConfiguration()
            try Machine.restrictKernel()
            try Network.start(parameters.network)
            if let path = parameters.modelDisk {
                try Machine.mount("tmpfs", model, "mode=0755,size=90%")
                var disk = try ModelDisk(path)
                let (files, bytes) = try disk.copy(to: model)
                say("copied a model of \(files) files, \(bytes) bytes, into memory")
            }
            return try serve()
        }

        /// Starts the server, and waits until it has ended; children whose parents have ended are reaped meanwhile.
        private static func serve() throws(InitError) -> String {
            for (directory, mode) in [("/var/lib/scx", 0o700), ("/run/scx", 0o700)] as [(String, mode_t)] {
                guard unsafe mkdir(directory, mode) == 0 || errno == EEXIST,
                    unsafe chown(directory, user, user) == 0
                else { throw InitError("\(directory): cannot be made", code: errno) }
            }
            // Reports are made by making directories in configfs, where all is root's.
            let capabilities = unsafe access(Machine.reports, F_OK) == 0 ? overridesFileRights : 0
            let arguments = [program, "serve", "--config", configuration]
            let environment = [
                "HOME=/var/lib/scx", "PATH=/bin", "TMPDIR=/tmp", "XDG_RUNTIME_DIR=/run/scx",
                "XDG_STATE_HOME=/var/lib", "XDG_CACHE_HOME=/tmp",
            ]
            let child = start(arguments, environment, capabilities)
            guard child > 0 else { throw InitError("\(program): cannot be started", code: child) }
            while true {
                var status: Int32 = 0
                let ended = unsafe cscx_boot_wait(&status)
                if ended == child { return Self.text(of: status) }
                if ended == 0 { kill(child, SIGTERM) }
                guard ended >= 0 else { throw InitError("\(program): is lost", code: ended) }
            }
        }

        private static func start(_ arguments: [String], _ environment: [String], _ capabilities: UInt64)
            -> Int32
        {
            // Copies that are never freed: this happens once.
            let (arguments, environment) = unsafe (
                arguments.map { unsafe strdup($0) } + [nil], environment.map { unsafe strdup($0) } + [nil]
            )
            return unsafe cscx_boot_start(program, arguments, environment, user, capabilities)
        }

        /// How a process ended, of a status as of waitpid.
        private static func text(of status: Int32) -> String {
            let signal = status & 0x7f
            return signal == 0
                ? "scx ended with status \(status >> 8 & 0xff)" : "scx was ended by signal \(signal)"
        }
    }
#else
    @main
    struct InitProgram {
        static func main() { print("scx-init is the first process of a machine with Linux") }
    }
#endif
