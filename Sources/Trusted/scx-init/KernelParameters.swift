#if os(Linux)
    /// What the kernel's command line says to `scx-init`.
    ///
    /// The command line is measured at the launch, together with this program and the file that configures `scx serve`.
    package struct KernelParameters: Equatable {
        /// `scx.model=DEVICE`: a disk with the model, such as `/dev/vda`; nil where the image holds the model.
        package private(set) var modelDisk: String?
        /// `ip=…`: the network.
        package private(set) var network = NetworkParameters.none

        /// - Parameter text: The content of `/proc/cmdline`.
        /// - Throws: ``InitError`` that names the parameter: one that begins with `scx.` and is not known, one that stands
        ///   twice, or a value that cannot be used.
        package init(_ text: String) throws(InitError) {
            var seen: Set<String> = []
            for word in text.split(whereSeparator: \.isWhitespace) {
                // The rest is for the first process, and this one takes no arguments.
                if word == "--" { break }
                let parts = word.split(separator: "=", maxSplits: 1, omittingEmptySubsequences: false)
                let (name, value) = (String(parts[0]), parts.count > 1 ? String(parts[1]) : "")
                guard name == "ip" || name.hasPrefix("scx.") else { continue }
                guard seen.insert(name).inserted else { throw InitError("'\(name)' stands twice") }
                switch name {
                case "ip": network = try NetworkParameters(value)
                case "scx.model":
                    guard value.hasPrefix("/dev/"), !value.contains("..") else {
                        throw InitError("'scx.model=\(value)' is not a device such as /dev/vda")
                    }
                    modelDisk = value
                default: throw InitError("'\(name)' is not known: there is scx.model=DEVICE")
                }
            }
        }
    }

    /// What the parameter `ip=` says (Documentation/admin-guide/nfs/nfsroot.rst in the kernel), of IPv4 alone.
    package enum NetworkParameters: Equatable {
        /// No address: the loopback interface alone.
        case none
        /// The kernel asked a DHCP server before it started the first process.
        case fromKernel
        /// `ip=CLIENT::GATEWAY:NETMASK::DEVICE:off:DNS`
        case fixed(FixedAddress)

        /// - Parameter value: What stands behind `ip=`.
        /// - Throws: ``InitError`` that names the part that cannot be used.
        package init(_ value: String) throws(InitError) {
            let fields = value.split(separator: ":", omittingEmptySubsequences: false).map(String.init)
            let automatic = ["on", "any", "dhcp", "bootp", "rarp", "both"]
            if fields.count == 1, automatic.contains(value) {
                self = .fromKernel
            } else if fields.count == 1, ["", "off", "none"].contains(value) {
                self = .none
            } else if fields.count > 6, automatic.contains(fields[6]) {
                self = .fromKernel
            } else {
                self = .fixed(try FixedAddress(fields))
            }
        }
    }

    /// An address of a network interface, in network order.
    package struct FixedAddress: Equatable {
        package let address, mask: UInt32
        package let gateway: UInt32?
        /// The interface; nil for the first one.
        package let device: String?
        /// Addresses of name servers, as they are written.
        package let nameServers: [String]

        /// - Parameter fields: Client, server (not used), gateway, netmask, host name (not used), device, how ("off"), and up to
        ///   two name servers.
        /// - Throws: ``InitError``
        init(_ fields: [String]) throws(InitError) {
            func field(_ index: Int) -> String? {
                fields.indices.contains(index) && !fields[index].isEmpty ? fields[index] : nil
            }
            func number(_ index: Int, _ what: String) throws(InitError) -> UInt32? {
                guard let text = field(index) else { return nil }
                guard let value = Self.number(text) else {
                    throw InitError("'ip=': \(what) '\(text)' is not an address such as 192.0.2.7")
                }
                return value
            }
            guard let address = try number(0, "client") else { throw InitError("'ip=' names no address") }
            guard let mask = try number(3, "netmask") else { throw InitError("'ip=' names no netmask") }
            guard (~UInt32(bigEndian: mask) &+ 1) & ~UInt32(bigEndian: mask) == 0 else {
                throw InitError("'ip=': netmask '\(fields[3])' has a hole")
            }
            (self.address, self.mask, gateway) = (address, mask, try number(2, "gateway"))
            device = field(5)
            if let device, device.utf8.count > 15 || device.contains("/") {
                throw InitError("'ip=': '\(device)' is no interface")
            }
            var servers: [String] = []
            for index in 7...8 where try number(index, "name server") != nil {
                servers.append(fields[index])
            }
            nameServers = servers
        }

        /// Four numbers with points between them, in network order.
        private static func number(_ text: String) -> UInt32? {
            let parts = text.split(separator: ".", omittingEmptySubsequences: false)
            guard parts.count == 4 else { return nil }
            var value: UInt32 = 0
            for part in parts {
                guard let byte = UInt8(part), part.utf8.allSatisfy({ (48...57).contains($0) }) else {
                    return nil
                }
                value = value << 8 | UInt32(byte)
            }
            return value.bigEndian
        }
    }
#endif
