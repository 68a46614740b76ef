#if Network
    import SCX
    import SCXOptions

    extension TLSFlags {
        /// The files that the flags name.
        ///
        /// - Throws: `ValidationError` when a flag is missing.
        func files() throws -> TLSFiles {
            let paths = try paths()
            return TLSFiles(certificate: paths.certificate, key: paths.key, trusted: paths.trusted)
        }
    }
#endif
