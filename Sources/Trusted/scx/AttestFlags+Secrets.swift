#if Network
    import SCXAttestation

    extension AttestFlags {
        func releaser() throws {}
        func secrets(for statement: ServerStatement) async throws -> SecretFiles? { nil }
    }
#endif
