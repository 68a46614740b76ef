import CSCXKernels

/// The pages of a cache, which stay where they are in memory.
///
/// A few pages are allocated one by one. Once 4 MiB are needed, pages come from the system in regions of 2 MiB or a
/// little more, on huge pages where Linux has them. Attention reads the whole cache, and with a long cache on system
/// pages of 4 KiB it spends a fifth of its time on address translation.
@safe
struct CachePages: ~Copyable {
    /// Pages that were allocated together.
    private struct Block {
        /// The number of the first page.
        let first: Int
        let bytes: Int
        /// Nil when the block is one page by itself.
        let region: Region?
    }

    private final class Region {
        let memory: HugePages

        init(bytes: Int) throws(KVCacheError) {
            do { memory = try HugePages(count: bytes) } catch { throw .noMemory(bytes: bytes) }
        }
    }

    private static let hugePage = 2 << 20
    /// From this size of the cache on, pages are allocated in regions.
    private static let fewestBytes = 4 << 20

    let pageBytes: Int
    private let regionPages: Int
    private let regionBytes: Int
    private let wipes: Bool

    // Each points to `pageBytes` bytes of a block.
    private var pages: [UnsafeRawPointer?] = unsafe []
    private var blocks: [Block] = []
    /// How many pages, from the first, were written to and have to be wiped.
    private var writtenPages = 0

    /// Bytes of all pages.
    private(set) var byteCount = 0

    var count: Int { unsafe pages.count }

    /// Makes a cache without pages.
    ///
    /// - Precondition: `pageBytes` is positive.
    init(pageBytes: Int, wipes: Bool) {
        self.pageBytes = pageBytes
        self.wipes = wipes
        // Use as few huge pages for a region as leave less than a sixteenth of it unused.
        let sizes = (1...8).map { $0 * Self.hugePage }
        let fitting = sizes.first { $0 % pageBytes <= $0 / 16 && $0 >= pageBytes }
        regionBytes = fitting ?? pageBytes
        regionPages = regionBytes / pageBytes
    }

    deinit {
        if wipes { for page in 0..<writtenPages { unsafe cscx_wipe(Self.mutable(pages[page]), pageBytes) } }
        for block in blocks where block.region == nil { free(block) }
    }

    /// A page by itself, of memory for secrets where pages are to be wiped; nil when there is none.
    private func makePage() -> UnsafeMutableRawPointer? {
        unsafe wipes ? cscx_secret_create(pageBytes) : cscx_page_create(pageBytes)
    }

    private func free(_ block: Block) {
        let page = unsafe Self.mutable(pages[block.first])
        if wipes { unsafe cscx_secret_free(page, pageBytes) } else { unsafe cscx_page_free(page) }
    }

    /// Bytes of all pages once there is room for this many.
    func byteCount(pages needed: Int) -> Int {
        guard needed > count else { return byteCount }
        let missing = needed - count
        return byteCount
            + (comeInRegions(needed)
                ? (missing + regionPages - 1) / regionPages * regionBytes : missing * pageBytes)
    }

    /// Makes room for this many pages in all.
    ///
    /// - Throws: ``KVCacheError/noMemory(bytes:)``; pages that were there already stay.
    mutating func reserve(_ needed: Int) throws(KVCacheError) {
        while count < needed {
            let first = count
            if comeInRegions(needed) {
                let region = try Region(bytes: regionBytes)
                if wipes { unsafe cscx_forbid_dump_of(region.memory.bytes.baseAddress, regionBytes) }
                for page in 0..<regionPages {
                    unsafe pages.append(
                        region.memory.bytes.baseAddress.map { unsafe UnsafeRawPointer($0 + page * pageBytes) }
                    )
                }
                blocks.append(Block(first: first, bytes: regionBytes, region: region))
            } else {
                guard let page = unsafe makePage() else { throw .noMemory(bytes: pageBytes) }
                unsafe pages.append(UnsafeRawPointer(page))
                blocks.append(Block(first: first, bytes: pageBytes, region: nil))
            }
            byteCount += blocks.last?.bytes ?? 0
        }
    }

    /// Removes the pages from `first` on: wipes them now if pages are to be wiped, and frees blocks of which no page
    /// is left.
    mutating func removePages(from first: Int) {
        if wipes, first < writtenPages {
            for page in first..<writtenPages { unsafe cscx_wipe(Self.mutable(pages[page]), pageBytes) }
        }
        writtenPages = min(writtenPages, first)
        while let block = blocks.last, block.first >= first {
            if block.region == nil { free(block) }
            unsafe pages.removeSubrange(block.first...)
            byteCount -= block.bytes
            blocks.removeLast()
        }
    }

    /// The memory of a page, to write to.
    ///
    /// - Precondition: The page was reserved.
    mutating func write(_ page: Int) -> UnsafeMutableRawPointer? {
        writtenPages = max(writtenPages, page + 1)
        return unsafe Self.mutable(pages[page])
    }

    /// The memory of a page, to read.
    ///
    /// - Precondition: The page was reserved.
    func read(_ page: Int) -> UnsafeRawPointer? { unsafe pages[page] }

    /// Passes pointers to all pages to a kernel.
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
