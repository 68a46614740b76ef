#if os(Linux)
    import CSCXBoot
    import Glibc

    /// The network interfaces of the machine.
    enum Network {
        private static let interfaces = "/sys/class/net"

        /// Switches on the loopback interface and, where the kernel's command line says `ip=`, one more.
        ///
        /// - Throws: ``InitError`` that names the interface.
        static func start(_ parameters: NetworkParameters) throws(InitError) {
            try raise("lo")
            switch parameters {
            case .none: return
            case .fromKernel:
                let name = try interface(nil)
                guard unsafe cscx_boot_address(name) != 0 else {
                    throw InitError(
                        "'ip=': \(name) has got no address; DHCP is the kernel's (CONFIG_IP_PNP_DHCP, and its driver built in), else give an address"
                    )
                }
                // The kernel writes there which name servers it was told.
                _ = unsafe unlink("/etc/resolv.conf")
                guard unsafe symlink("/proc/net/pnp", "/etc/resolv.conf") == 0 else {
                    throw InitError("/etc/resolv.conf: cannot be made", code: errno)
                }
            case .fixed(let fixed):
                let name = try interface(fixed.device)
                try raise(name)
                if unsafe cscx_boot_address(name) != fixed.address {
                    let result = unsafe cscx_boot_set_address(name, fixed.address, fixed.mask)
                    guard result == 0 else { throw InitError("\(name): takes no address", code: result) }
                    if let gateway = fixed.gateway {
                        let result = cscx_boot_set_gateway(gateway)
                        guard result == 0 else { throw InitError("\(name): takes no gateway", code: result) }
                    }
                }
                guard !fixed.nameServers.isEmpty else { return }
                try Machine.write(
                    fixed.nameServers.map { "nameserver \($0)\n" }.joined(), to: "/etc/resolv.conf",
                    make: true)
            }
        }

        private static func raise(_ name: String) throws(InitError) {
            let result = unsafe cscx_boot_raise(name)
            guard result == 0 else { throw InitError("\(name): cannot be switched on", code: result) }
        }

        /// The interface with a name, or the first Ethernet interface; waits until its driver has found it.
        private static func interface(_ wanted: String?) throws(InitError) -> String {
            var found: String?
            _ = Waiting.until {
                found = Machine.names(in: interfaces).first { name in
                    if let wanted { return name == wanted }
                    // 1 is ARPHRD_ETHER.
                    let kind = try? Machine.text(of: "\(interfaces)/\(name)/type")
                    return kind == "1\n"
                }
                return found != nil
            }
            guard let found else {
                throw InitError(
                    "'ip=': there is no network interface\(wanted.map { " '\($0)'" } ?? ""); its driver must be in the kernel, or among the image's modules"
                )
            }
            return found
        }
    }
#endif
