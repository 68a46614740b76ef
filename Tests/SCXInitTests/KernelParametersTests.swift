#if os(Linux)
    import Testing

    import scx_init

    @Suite("the kernel's command line")
    struct KernelParametersTests {
        @Test("parameters of others are left alone")
        func others() throws {
            let parameters = try KernelParameters("BOOT_IMAGE=/vmlinuz console=ttyS0 quiet panic=-1\n")
            #expect(parameters.modelDisk == nil && parameters.network == .none)
            #expect(try KernelParameters("quiet -- scx.model=/dev/vda").modelDisk == nil)
        }

        @Test("names the model's disk")
        func disk() throws {
            #expect(try KernelParameters("quiet scx.model=/dev/vda").modelDisk == "/dev/vda")
        }

        @Test(
            "what is not known, stands twice or is no device is refused",
            arguments: [
                "scx.modle=/dev/vda", "scx.model=/dev/vda scx.model=/dev/vdb", "scx.model=/etc/passwd",
                "scx.model=/dev/../etc", "scx.model", "ip=dhcp ip=off",
            ])
        func wrong(text: String) {
            #expect(throws: InitError.self) { try KernelParameters(text) }
        }

        @Test("the kernel's ways to ask for an address", arguments: ["dhcp", "on", ":::::eth0:dhcp"])
        func automatic(value: String) throws {
            #expect(try NetworkParameters(value) == .fromKernel)
        }

        @Test("no address", arguments: ["", "off", "none"])
        func none(value: String) throws {
            #expect(try NetworkParameters(value) == .none)
        }

        @Test("an address has its bytes in network order")
        func fixed() throws {
            guard
                case .fixed(let fixed) = try NetworkParameters(
                    "10.0.2.15::10.0.2.2:255.255.240.0:host:eth0:off:9.9.9.9:")
            else {
                Issue.record("is not fixed")
                return
            }
            #expect(fixed.address == UInt32(0x0A00_020F).bigEndian)
            #expect(fixed.gateway == UInt32(0x0A00_0202).bigEndian)
            #expect(fixed.mask == UInt32(0xFFFF_F000).bigEndian)
            #expect(fixed.device == "eth0" && fixed.nameServers == ["9.9.9.9"])
        }

        @Test(
            "what is no address, netmask or interface is refused",
            arguments: [
                "10.0.2", "10.0.2.256::10.0.2.2:255.0.0.0", "10.0.2.15", "10.0.2.15:::255.0.255.0",
                "::10.0.2.2:255.0.0.0", "10.0.2.+5:::255.0.0.0", "10.0.2.15::x:255.0.0.0",
                "10.0.2.15:::255.0.0.0::../../x:off", "10.0.2.15:::255.0.0.0::eth0:off:x",
            ])
        func wrongNetwork(value: String) {
            #expect(throws: InitError.self) { try NetworkParameters(value) }
        }
    }
#endif
