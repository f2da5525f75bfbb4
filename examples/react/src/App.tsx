import { Account, SignOut } from "./components/Account";
import { Composer } from "./components/Composer";
import { PostList } from "./components/PostList";
import { ConnectionBadge, InstanceBanner } from "./components/Status";
import { useSession } from "./hooks";

export function App() {
  const { user, expired } = useSession();
  return (
    <>
      <InstanceBanner />
      <header className="bar">
        <h1>
          <span className="pin" aria-hidden="true" />
          Pinboard
        </h1>
        <ConnectionBadge />
        {user && <SignOut user={user} />}
      </header>
      <main>
        <aside>{user ? <Composer user={user} /> : <Account expired={expired} />}</aside>
        <PostList user={user} />
      </main>
    </>
  );
}
