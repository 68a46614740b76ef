import CSCXKernels

/// The pages of a cache, which never move.
///
/// Few are allocated one by one. Once 4 MiB are needed they come from the system in regions of 2 MiB or a little more, on
/// huge pages where Linux has them: attention reads all of a long cache, and with system pages of 4 KiB spends a fifth of
/// that time on finding where they are.
@safe
struct CachePages: ~Copyable {
    /// Pages that were allocated together.
    private struct Block {
        /// The number of the first.
        let first: Int
        let bytes: Int
        /// Nil when the block is one page from cscx_page_create.
        let region: Region?
    }

    private final class Region {
        let memory: HugePages

        init(bytes: Int) throws(KVCacheError) {
            do { memory = try HugePages(count: bytes) } catch { throw .noMemory(bytes: bytes) }
        }
    }

    private static let hugePage = 2 << 20
    /// Bytes from which pages come in regions.
    private static let fewestBytes = 4 << 20

    let pageBytes: Int
    private let regionPages: Int
    private let regionBytes: Int
    private let wipes: Bool

    // Each points at `pageBytes` bytes of a block.
    private var pages: [UnsafeRawPointer?] = unsafe []
    private var blocks: [Block] = []
    /// Pages, from the first, that have something to wipe.
    private var writtenPages = 0

    /// Bytes held.
    private(set) var byteCount = 0

    var count: Int { unsafe pages.count }

    /// - Precondition: `pageBytes` is positive.
    init(pageBytes: Int, wipes: Bool) {
        self.pageBytes = pageBytes
        self.wipes = wipes
        // As few huge pages as leave less than a sixteenth unused.
        let sizes = (1...8).map { $0 * Self.hugePage }
        let fitting = sizes.first { $0 % pageBytes <= $0 / 16 && $0 >= pageBytes }
        regionBytes = fitting ?? pageBytes
        regionPages = regionBytes / pageBytes
    }

    deinit {
        if wipes { for page in 0..<writtenPages { unsafe cscx_wipe(Self.mutable(pages[page]), pageBytes) } }
        for block in blocks where block.region == nil {
            unsafe cscx_page_free(Self.mutable(pages[block.first]))
        }
    }

    /// Bytes held once there is room for so many pages.
    func byteCount(pages needed: Int) -> Int {
        guard needed > count else { return byteCount }
        let missing = needed - count
        return byteCount
            + (comeInRegions(needed)
                ? (missing + regionPages - 1) / regionPages * regionBytes : missing * pageBytes)
    }

    /// Makes room for so many pages in all.
    ///
    /// - Throws: ``KVCacheError/noMemory(bytes:)``; pages already there stay.
    mutating func reserve(_ needed: Int) throws(KVCacheError) {
        while count < needed {
            let first = count
            if comeInRegions(needed) {
                let region = try Region(bytes: regionBytes)
                for page in 0..<regionPages {
                    unsafe pages.append(
                        region.memory.bytes.baseAddress.map { unsafe UnsafeRawPointer($0 + page * pageBytes) }
                    )
                }
                blocks.append(Block(first: first, bytes: regionBytes, region: region))
            } else {
                guard let page = unsafe cscx_page_create(pageBytes) else { throw .noMemory(bytes: pageBytes) }
                unsafe pages.append(UnsafeRawPointer(page))
                blocks.append(Block(first: first, bytes: pageBytes, region: nil))
            }
            byteCount += blocks.last?.bytes ?? 0
        }
    }

    /// Lets go of the pages from `first` on: those that are wiped are wiped now, blocks of which none is left are freed.
    mutating func removePages(from first: Int) {
        if wipes, first < writtenPages {
            for page in first..<writtenPages { unsafe cscx_wipe(Self.mutable(pages[page]), pageBytes) }
        }
        writtenPages = min(writtenPages, first)
        while let block = blocks.last, block.first >= first {
            if block.region == nil { unsafe cscx_page_free(Self.mutable(pages[block.first])) }
            unsafe pages.removeSubrange(block.first...)
            byteCount -= block.bytes
            blocks.removeLast()
        }
    }

    /// A page to write to.
    ///
    /// - Precondition: It was reserved.
    mutating func write(_ page: Int) -> UnsafeMutableRawPointer? {
        writtenPages = max(writtenPages, page + 1)
        return unsafe Self.mutable(pages[page])
    }

    /// A page to read.
    ///
    /// - Precondition: It was reserved.
    func read(_ page: Int) -> UnsafeRawPointer? { unsafe pages[page] }

    /// Lends all of them to a kernel.
    func withPointers<R>(_ body: (UnsafePointer<UnsafeRawPointer?>?) -> R) -> R {
        unsafe pages.withUnsafeBufferPointer { unsafe body($0.baseAddress) }
    }

    private func comeInRegions(_ needed: Int) -> Bool {
        needed >= (Self.fewestBytes + pageBytes - 1) / pageBytes
    }

    private static func mutable(_ page: UnsafeRawPointer?) -> UnsafeMutableRawPointer? {
        unsafe UnsafeMutableRawPointer(mutating: page)
    }
}
